"""Compiled templates, the fast assertions over them, and the tokens that these give."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.unit.pki.forge import NOW, Forge, spki
from troth.pki.errors import AuthorityRefused, LintRefused, ProfileRefused
from troth.pki.lint import Expected, LintToken, findings_of, lint
from troth.pki.serial import SerialNumber, new_serial
from troth.pki.template import TbsBytes, Template

FORGE = Forge.make()


def _leaf(profile: str = "tls-server", **changes: object) -> tuple[TbsBytes, Template, Expected]:
    template = FORGE.template(profile)
    begin, end = template.validity(NOW)
    values: dict[str, object] = {
        "serial": new_serial(NOW),
        "spki": spki(FORGE.keys["p256"]),
        "names": (("dns", "a.example"),),
        "common_name": None,
        "not_before": begin,
        "not_after": end,
    }
    expected = Expected(**values, now=NOW)  # type: ignore[arg-type]
    return template.tbs(**(values | changes)), template, expected  # type: ignore[arg-type]


def test_lint_passes_what_the_template_made() -> None:
    tbs, template, expected = _leaf()
    assert findings_of(tbs, template, expected) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serial": SerialNumber(b"\x40" + b"\x01" * 15)}, "lint.serial"),
        ({"names": (("dns", "b.example"),)}, "lint.subject_alternative_name"),
        ({"names": (("dns", "a.example"), ("dns", "b.example"))}, "lint.subject_alternative_name"),
        ({"names": ()}, "lint.extension_set"),
        ({"common_name": "a.example"}, "lint.subject"),
        ({"spki": spki(FORGE.keys["p384"])}, "lint.key"),
        ({"not_before": NOW.replace(microsecond=0) - timedelta(days=2)}, "lint.validity"),
        ({"not_after": NOW.replace(microsecond=0) + timedelta(days=120)}, "lint.validity"),
    ],
)
def test_lint_names_what_differs_from_the_request(changes: dict[str, object], code: str) -> None:
    tbs, template, expected = _leaf(**changes)  # type: ignore[arg-type]
    assert code in findings_of(tbs, template, expected)


def test_lint_refuses_bytes_of_another_profile() -> None:
    tbs, _, expected = _leaf("client-device")
    found = findings_of(tbs, FORGE.template("tls-server"), expected)
    assert "lint.extended_key_usage" in found


def test_lint_refuses_bytes_that_do_not_parse() -> None:
    tbs, template, expected = _leaf()
    assert findings_of(TbsBytes(tbs[:-1]), template, expected) == ["lint.unparsable"]
    flipped = bytearray(tbs)
    flipped[8] ^= 0xFF
    assert findings_of(TbsBytes(bytes(flipped)), template, expected)


def test_lint_token_is_good_once_and_for_its_bytes_only() -> None:
    tbs, template, expected = _leaf()
    reservation = uuid4()
    token = lint(tbs, template, expected, reservation=reservation)
    token.redeem("issuing", reservation, tbs)
    with pytest.raises(LintRefused, match="once"):
        token.redeem("issuing", reservation, tbs)
    for authority, other, data in [("x", reservation, tbs), ("issuing", uuid4(), tbs), ("issuing", reservation, b"x")]:
        fresh = lint(tbs, template, expected, reservation=reservation)
        with pytest.raises(LintRefused, match="bound"):
            fresh.redeem(authority, other, TbsBytes(data))
        with pytest.raises(LintRefused, match="once"):
            fresh.redeem("issuing", reservation, tbs)


def test_lint_tokens_cannot_be_made_elsewhere() -> None:
    with pytest.raises(LintRefused):
        LintToken("issuing", uuid4(), TbsBytes(b""), seal=object())


def test_validity_counts_the_last_second_and_truncates() -> None:
    template = FORGE.template("tls-server")
    begin, end = template.validity(NOW, timedelta(days=400))
    assert begin == NOW.replace(microsecond=0) - timedelta(minutes=5)
    assert end - begin + timedelta(seconds=1) == timedelta(days=90)


def test_validity_never_leaves_the_issuers() -> None:
    template = FORGE.template("tls-server")
    late = template.issuer.not_valid_after_utc - timedelta(days=1)
    assert template.validity(late)[1] == template.issuer.not_valid_after_utc
    with pytest.raises(AuthorityRefused):
        template.validity(template.issuer.not_valid_after_utc)


def test_a_lifetime_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ProfileRefused):
        FORGE.template("tls-server").validity(NOW, timedelta(minutes=5))


def test_serials_are_positive_ordered_and_16_octets() -> None:
    first, second = new_serial(NOW), new_serial(NOW + timedelta(milliseconds=2))
    assert len(first) == 16
    assert 0 < first[0] < 0x80
    assert first < second
    assert len({new_serial(NOW) for _ in range(1000)}) == 1000
