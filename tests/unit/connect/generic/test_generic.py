"""A message of any shape as signals, by the mapping that its definition gives."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.connector import Wiring
from troth.connect.definition import ConnectorDefinition
from troth.connect.errors import ConnectorInvalid, PushRefused
from troth.connect.generic import Generic, Options
from troth.connect.generic.paths import NOTHING, parse_path
from troth.connect.pacing import Paces
from troth.connect.vendors import check
from troth.connect.webhook.signature import sign
from troth.kit.clock import FakeClock
from troth.kit.lane import Request
from troth.trust.signals.model import KINDS, Effect, Method

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = b"correct horse battery staple"
MAPPING: dict[str, Any] = {
    "verify": {"scheme": "bearer"},
    "message_id": "/id",
    "kind": {"path": "/type", "values": {"infected": "edr.intrusion", "clean": "edr.cleared", "ping": "ignore"}},
    "whom": [{"alias": {"system": "entra.device", "value": "host.entra"}}, {"device_serial": "/host/serial"}],
    "observed_at": {"path": "/at"},
    "cause": "/case",
    "severity": {"path": "/level", "values": {"bad": 80}, "scale": 10},
    "evidence": ["/title", "/text"],
    "fields": {"rule": "rule.name", "count": "rule.hits"},
}
EVENT: dict[str, Any] = {
    "id": "e1", "type": "infected", "at": "2026-03-02T08:59:00Z", "case": "c-7", "level": "bad", "title": "Malware",
    "text": "found\x1b[2J it", "rule": {"name": "r1", "hits": 3}, "host": {"serial": "SN1"},
}  # fmt: skip


def definition(mapping: Mapping[str, Any]) -> ConnectorDefinition:
    return ConnectorDefinition("siem", "generic", "siem", options=mapping)


def generic(mapping: Mapping[str, Any] = MAPPING) -> Generic:
    made = definition(mapping)
    clock = FakeClock(NOW)
    http: Any = None
    return Generic(
        Wiring(definition=made, options=check(made), secrets={"push": SECRET}, base_url="", http=http, clock=clock,
               paces=Paces(clock), group="x")
    )  # fmt: skip


def request(body: Any, headers: Mapping[str, str] | None = None) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given_ = {"authorization": f"Bearer {SECRET.decode()}"} if headers is None else headers
    return Request("POST", "/connect/generic/siem", b"", b"", ("generic", "siem"), given_, data)


# --- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", {"a": {"b/c": [1, {"d": "x"}]}, "": 7, "~": 8}),
        ("/a/b~1c/1/d", "x"),
        ("/a/b~1c/0", 1),
        ("/", 7),
        ("/~0", 8),
        ("/a/b~1c/2", NOTHING),
        ("/a/b~1c/01", NOTHING),
        ("/a/b~1c/-", NOTHING),
        ("a.x", NOTHING),
        ("/a/b~1c/1/d/e", NOTHING),
    ],
)
def test_a_path_leads_where_it_says_or_nowhere(path: str, found: Any) -> None:
    assert parse_path(path).find({"a": {"b/c": [1, {"d": "x"}]}, "": 7, "~": 8}) == found


@pytest.mark.parametrize("path", ["a..b", "a[0]", "/a~2", "/a~", ".a", "a b", "x" * 401, "/" * 20])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|pointer"):
        parse_path(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(max_size=60), json_values)
def test_looking_never_raises(path: str, value: Any) -> None:
    try:
        made = parse_path(path)
    except ValueError:
        return
    made.find(value)
    text = made.text(value)
    assert text is None or text.isprintable()


# --- mapping ---------------------------------------------------------------------------------------------------------


async def test_each_part_of_a_signal_stands_where_the_mapping_says() -> None:
    pushed = await generic().push(request(EVENT))
    (signal,) = pushed.signals
    assert (signal.kind.name, signal.message_id, signal.cause, signal.severity) == ("edr.intrusion", "e1", "c-7", 80)
    assert signal.whom.device_serial == "SN1"
    assert signal.observed_at == NOW - timedelta(minutes=1)
    assert signal.evidence == "Malware · found\N{REPLACEMENT CHARACTER}[2J it"
    assert signal.fields == {"rule": "r1", "count": 3}
    assert signal.verified.method is Method.BEARER
    assert (pushed.response.status, json.loads(pushed.response.body)) == (202, {"accepted": 1, "unreadable": 0})


async def test_the_first_way_to_say_whom_counts_and_a_message_about_nobody_is_kept() -> None:
    pushed = await generic().push(request(EVENT | {"host": {"entra": "D-1", "serial": "SN1"}}))
    assert pushed.signals[0].whom.alias == ("entra.device", "D-1")
    pushed = await generic().push(request(EVENT | {"host": {}}))
    assert pushed.signals == []
    assert [one.code for one in pushed.spoilt] == ["connector.answer"]


@pytest.mark.parametrize("said", ["levitating", "", None, 7, True, ["infected"], {"a": 1}])
async def test_a_value_that_nobody_knows_is_never_good(said: Any) -> None:
    pushed = await generic().push(request(EVENT | {"type": said}))
    assert [one.effect for one in pushed.signals] == [Effect.RAISE]
    assert pushed.signals[0].kind.name == "generic.raised"


async def test_what_says_nothing_of_anybody_is_passed_over_and_is_a_sign_of_life() -> None:
    pushed = await generic().push(request(EVENT | {"type": "ping"}))
    assert (pushed.signals, pushed.spoilt, pushed.heartbeat) == ([], [], True)


async def test_a_list_of_events_is_taken_one_by_one() -> None:
    made = generic(MAPPING | {"items": "data.events", "message_id": "header:x-delivery"})
    events = {"data": {"events": [EVENT, EVENT | {"at": "never"}, EVENT | {"type": "clean"}]}}
    headers = {"authorization": f"Bearer {SECRET.decode()}", "x-delivery": "d1"}
    pushed = await made.push(request(events, headers))
    assert [one.message_id for one in pushed.signals] == ["d1:0", "d1:2"]
    assert [one.message_id for one in pushed.spoilt] == ["spoilt:d1:1"]
    for wrong in ({"data": {}}, {"data": {"events": {}}}, [], {"data": {"events": [1] * 1001}}):
        with pytest.raises(PushRefused, match="unreadable"):
            await made.push(request(wrong, headers))


async def test_without_a_name_of_its_own_a_message_is_known_by_its_content() -> None:
    made = generic(MAPPING | {"message_id": ""})
    first = (await made.push(request(EVENT))).signals[0]
    again = (await made.push(request(dict(reversed(EVENT.items()))))).signals[0]
    other = (await made.push(request(EVENT | {"case": "c-8"}))).signals[0]
    assert first.message_id == again.message_id
    assert first.message_id != other.message_id


@pytest.mark.parametrize(
    ("form", "said", "at"),
    [
        ("seconds", 1772442000, NOW),
        ("milliseconds", 1772442000000, NOW),
        ("seconds", "1772442000", NOW),
        ("rfc3339", "2026-03-02T10:00:00+01:00", NOW),
        ("rfc3339", "2099-01-01T00:00:00Z", NOW),
    ],
)
async def test_times_are_read_in_their_form_and_none_is_in_the_future(form: str, said: Any, at: datetime) -> None:
    made = generic(MAPPING | {"observed_at": {"path": "/at", "format": form}})
    assert (await made.push(request(EVENT | {"at": said}))).signals[0].observed_at == at


@pytest.mark.parametrize("said", ["x", None, True, -5, 1e30, "nan", [], "99999999999999999999"])
async def test_what_is_no_time_is_kept_for_a_person(said: Any) -> None:
    made = generic(MAPPING | {"observed_at": {"path": "/at", "format": "seconds"}})
    assert len((await made.push(request(EVENT | {"at": said}))).spoilt) == 1


@pytest.mark.parametrize(
    ("said", "severity"), [("bad", 80), (5, 50), (0, 0), (11, 100), (-1, 50), (101, 50), ("good", 50), (None, 50)]
)
async def test_a_severity_is_a_word_or_a_number_and_otherwise_the_kinds_own(said: Any, severity: int) -> None:
    mapping = MAPPING | {"kind": {"default": "generic.raised"}}
    pushed = await generic(mapping).push(request(EVENT | {"level": said}))
    assert pushed.signals[0].severity == severity
    assert KINDS["generic.raised"].severity == 50


async def test_a_cause_that_is_no_word_becomes_one_and_the_same_one() -> None:
    made = generic()
    causes = {(await made.push(request(EVENT | {"case": "Fall Ü 7", "id": str(n)}))).signals[0].cause for n in range(2)}
    assert len(causes) == 1
    assert causes.pop().startswith("id:")


def test_a_preview_needs_no_proof_and_says_what_cannot_be_read() -> None:
    made = generic()
    assert [one.kind.name for one in made.preview(request(EVENT, {}))] == ["edr.intrusion"]
    assert made.preview(request(EVENT | {"type": "ping"}, {})) == []
    for body in (EVENT | {"at": 7}, EVENT | {"host": {}}, b"{"):
        with pytest.raises(PushRefused, match="unreadable"):
            made.preview(request(body, {}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"whom": []}, "options"),
        ({"whom": [{}]}, "one way"),
        ({"whom": [{"device": "/a", "user": "/b"}]}, "one way"),
        ({"kind": {"default": "edr.cleared"}}, "not good"),
        ({"kind": {"default": "edr.nonsense"}}, "no kind"),
        ({"kind": {"path": "/t", "values": {"a": "nonsense"}}}, "no kind"),
        ({"kind": {"values": {"a": "edr.intrusion"}}}, "where"),
        ({"cause": "a[0]"}, "path"),
        ({"evidence": ["/~9"]}, "pointer"),
        ({"verify": {"scheme": "trust me"}}, "options"),
        ({"verify": {"scheme": "bearer", "header": "a b"}}, "options"),
        ({"sql": "DROP"}, "options"),
    ],
)
def test_a_mapping_that_cannot_hold_is_refused_when_it_is_applied(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConnectorInvalid) as caught:
        check(definition(MAPPING | change))
    assert told in caught.value.detail


# --- proof -----------------------------------------------------------------------------------------------------------


BODY = json.dumps(EVENT).encode()
MAC = hmac.digest(SECRET, BODY, hashlib.sha256)
STAMP = str(int(NOW.timestamp()))


@pytest.mark.parametrize(
    ("how", "headers"),
    [
        ({"scheme": "bearer"}, {"authorization": f"Bearer {SECRET.decode()}"}),
        ({"scheme": "bearer", "header": "X-Key", "prefix": ""}, {"x-key": SECRET.decode()}),
        ({"scheme": "hmac-sha256"}, {"x-hub-signature-256": f"sha256={MAC.hex()}"}),
        ({"scheme": "hmac-sha256"}, {"x-hub-signature-256": f"sha256={MAC.hex().upper()}"}),
        (
            {"scheme": "hmac-sha256", "header": "x-sig", "prefix": "", "encoding": "base64"},
            {"x-sig": base64.b64encode(MAC).decode()},
        ),
        (
            {"scheme": "standard-webhooks"},
            {"webhook-id": "m", "webhook-timestamp": STAMP, "webhook-signature": sign(SECRET, "m", STAMP, BODY)},
        ),
    ],
)
async def test_each_scheme_takes_what_is_proved_and_nothing_else(how: dict[str, Any], headers: dict[str, str]) -> None:
    made = generic(MAPPING | {"verify": how})
    assert len((await made.push(request(BODY, headers))).signals) == 1
    wrong = [{}, {name: value[:-2] + "zz" for name, value in headers.items()}, dict.fromkeys(headers, "")]
    if how["scheme"] != "bearer":
        with pytest.raises(PushRefused, match="unauthenticated"):
            await made.push(request(BODY + b" ", headers))
    for given_ in wrong:
        with pytest.raises(PushRefused, match="unauthenticated"):
            await made.push(request(BODY, given_))


async def test_a_secret_as_standard_webhooks_hands_it_over_is_understood() -> None:
    made = generic(MAPPING | {"verify": {"scheme": "standard-webhooks"}})
    shown = b"whsec_" + base64.b64encode(SECRET)
    object.__setattr__(made._wiring, "secrets", {"push": shown})
    headers = {"webhook-id": "m", "webhook-timestamp": STAMP, "webhook-signature": sign(SECRET, "m", STAMP, BODY)}
    assert len((await made.push(request(BODY, headers))).signals) == 1


def test_options_are_json_and_come_back_as_they_went() -> None:
    made = msgspec.convert(MAPPING, Options)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Options) == made
