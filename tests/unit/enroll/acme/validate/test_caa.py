"""CAA and dns-persist-01 records: who is allowed, under which conditions, and what allows nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.caa import CaaQuestion, CaaRecord, check_caa, forbidden
from troth.enroll.acme.validate.dns_account01 import account_label
from troth.enroll.acme.validate.dns_persist01 import persist_refuses, persist_until
from troth.enroll.acme.validate.issue_value import parse_issue_value
from troth.enroll.acme.validate.outcome import Challenge, Log, NotShown

URI = "https://ca.example/acme/tls-server/acct/1"
ISSUERS = ("ca.example", "pki.example")


@pytest.mark.parametrize(
    ("value", "issuer", "parameters"),
    [
        (b"ca.example", "ca.example", {}),
        (b"  CA.Example  ", "ca.example", {}),
        (b";", "", {}),
        (b"", "", {}),
        (b"ca.example;", "ca.example", {}),
        (b"ca.example; ", "ca.example", {}),
        (b"ca.example; policy=ev", "ca.example", {"policy": "ev"}),
        (b"ca.example;accounturi=https://a/b?c=d;validationmethods=dns-01,http-01", "ca.example",
         {"accounturi": "https://a/b?c=d", "validationmethods": "dns-01,http-01"}),
        (b"ca.example \t; a = b \t; c=\t ;", "ca.example", {"a": "b", "c": ""}),
        (b"%%%%%", None, None),
        (b"ca.example bad", None, None),
        (b"ca..example", None, None),
        (b"-ca.example", None, None),
        (b"ca.example; policy", None, None),
        (b"ca.example; a=b; a=c", None, None),
        (b"ca.example; a=b; A=c", None, None),
        (b"ca.example; a=b c", None, None),
        (b"ca.example;; a=b", None, None),
        ("ca.example; a=é".encode(), None, None),
        (b"c" * 5000, None, None),
    ],
)  # fmt: skip
def test_values_are_read_as_rfc_8659_writes_them(value: bytes, issuer: str | None, parameters: object) -> None:
    found = parse_issue_value(value)
    assert (issuer, parameters) == (None, None) if found is None else (found.issuer, found.parameters) == (
        issuer, parameters,
    )  # fmt: skip


def question(*, wildcard: bool = False, method: str = "dns-01") -> CaaQuestion:
    return CaaQuestion("a.b.example", wildcard, URI, method)


def records(*texts: str) -> list[CaaRecord]:
    found = []
    for text in texts:
        flags, tag, value = text.split(" ", 2)
        found.append(CaaRecord(int(flags), tag, value.encode()))
    return found


@pytest.mark.parametrize(
    ("texts", "wildcard", "allowed"),
    [
        (["0 issue ca.example"], False, True),
        (["0 issue other.example"], False, False),
        (["0 issue other.example", "0 issue pki.example"], False, True),
        (["0 issue ;"], False, False),
        (["0 issue %%%%"], False, False),
        (["0 iodef mailto:a@b.example"], False, True),
        (["128 iodef mailto:a@b.example"], False, True),
        (["0 something x"], False, True),
        (["128 something x"], False, False),
        (["0 issue ca.example", "128 something x"], False, False),
        (["0 issue ca.example"], True, True),
        (["0 issue ca.example", "0 issuewild ;"], True, False),
        (["0 issue ca.example", "0 issuewild ;"], False, True),
        (["0 issue ;", "0 issuewild ca.example"], True, True),
        (["0 issuewild ;"], False, True),
        (["0 issue ca.example; validationmethods=dns-01"], False, True),
        (["0 issue ca.example; validationmethods=http-01, dns-01"], False, False),  # a space ends the value
        (["0 issue ca.example; validationmethods=http-01,dns-01"], False, True),
        (["0 issue ca.example; validationmethods=http-01"], False, False),
        (["0 issue ca.example; validationmethods="], False, False),
        ([f"0 issue ca.example; accounturi={URI}"], False, True),
        ([f"0 issue ca.example; accounturi={URI}x"], False, False),
        ([f"0 issue ca.example; accounturi={URI}; accounturi={URI}"], False, False),
        (["0 issue ca.example; unknown=1"], False, True),
    ],
)
def test_who_is_allowed(texts: list[str], wildcard: bool, allowed: bool) -> None:
    assert (forbidden(records(*texts), question(wildcard=wildcard), ISSUERS) == "") is allowed


class Zones:
    def __init__(self, **zones: list[CaaRecord] | None) -> None:
        self.zones = {name.replace("_", "."): value for name, value in zones.items()}
        self.asked: list[str] = []

    async def caa(self, name: str) -> list[CaaRecord]:
        self.asked.append(name)
        found = self.zones.get(name, [])
        if found is None:
            from troth.enroll.acme.errors import VALIDATION_DNS

            raise NotShown(VALIDATION_DNS, "no answer", retryable=True)
        return found


async def test_the_nearest_records_count_and_a_silent_server_allows_nothing() -> None:
    zones = Zones(b_example=records("0 issue other.example"), example=records("0 issue ca.example"))
    with pytest.raises(NotShown, match=r"CAA at b\.example allows another issuer"):
        await check_caa(question(), issuers=ISSUERS, resolver=zones, log=Log())
    assert zones.asked == ["a.b.example", "b.example"]
    zones = Zones(a_b_example=records("0 issue ca.example"), b_example=records("0 issue ;"))
    await check_caa(question(), issuers=ISSUERS, resolver=zones, log=Log())
    zones = Zones()
    await check_caa(question(), issuers=ISSUERS, resolver=zones, log=Log())
    assert zones.asked == ["a.b.example", "b.example", "example"]
    with pytest.raises(NotShown, match="no answer"):
        await check_caa(question(), issuers=ISSUERS, resolver=Zones(b_example=None), log=Log())


def persist(*, wide: bool = False) -> Challenge:
    return Challenge(
        "dns-persist-01", Identifier("dns", "a.example"), "", "", account_uri=URI, issuers=ISSUERS, wildcard=wide
    )


@pytest.mark.parametrize(
    ("value", "wide", "allowed"),
    [
        (f"ca.example; accounturi={URI}", False, True),
        (f"CA.EXAMPLE;accounturi={URI};x=y", False, True),
        (f"ca.example; accounturi={URI}", True, False),
        (f"ca.example; accounturi={URI}; policy=WildCard", True, True),
        (f"ca.example; accounturi={URI}; policy=other", True, False),
        ("ca.example", False, False),
        (f"other.example; accounturi={URI}", False, False),
        (f"ca.example; accounturi={URI}/", False, False),
        (f"ca.example; accounturi={URI}; persistUntil=1001", False, True),
        (f"ca.example; accounturi={URI}; persistUntil=1000", False, False),
        (f"ca.example; accounturi={URI}; persistUntil=soon", False, False),
        (f"ca.example; accounturi={URI}; persistUntil=-1", False, False),
        (f"ca.example; accounturi={URI}; accounturi={URI}", False, False),
        ("v=spf1 -all", False, False),
    ],
)
def test_a_standing_record_allows_its_account_and_no_other(value: str, wide: bool, allowed: bool) -> None:
    assert (persist_refuses(value.encode(), persist(wide=wide), 1000.0) == "") is allowed


def test_a_standing_record_may_say_until_when() -> None:
    assert persist_until(f"ca.example; accounturi={URI}; persistUntil=1721952000".encode()) == 1721952000
    assert persist_until(f"ca.example; accounturi={URI}".encode()) is None


def test_the_label_of_an_account_is_that_of_the_draft() -> None:
    # draft-ietf-acme-dns-account-label-02, section 3.2
    assert account_label("https://example.com/acme/acct/ExampleAccount") == "_ujmmovf2vn55tgye"


@given(st.binary(max_size=200), st.booleans(), st.floats(0, 1e12))
def test_whatever_the_bytes_a_record_is_judged(value: bytes, wide: bool, now: float) -> None:
    assert isinstance(persist_refuses(value, persist(wide=wide), now), str)
    found = parse_issue_value(value)
    assert found is None or found.issuer == found.issuer.lower()
    assert isinstance(forbidden([CaaRecord(0, "issue", value)], question(), ISSUERS), str)
