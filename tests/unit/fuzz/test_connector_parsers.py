"""Parsers of what other systems send and people write of them: an answer or a typed refusal, never anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from troth.connect.connector import Wiring, each
from troth.connect.crowdstrike import mapping, stream
from troth.connect.definition import ConnectorDefinition, parse_connectors
from troth.connect.generic import Generic
from troth.connect.pacing import Paces
from troth.connect.vendors import check
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError
from troth.kit.lane import Request
from troth.trust.signals.codec import decode, encode

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GENERIC = {
    "whom": [{"alias": {"system": "x.y", "value": "/w"}}, {"device_serial": "s"}], "items": "/e", "cause": "/c",
    "kind": {"path": "/k", "values": {"a": "edr.contained", "b": "edr.cleared"}}, "evidence": ["/t"],
    "observed_at": {"path": "/at"}, "severity": {"path": "/v"}, "fields": {"f": "/f"}, "verify": {"scheme": "bearer"},
}  # fmt: skip
EVENTS = {
    "e": [{"w": "1", "k": "a", "at": "2026-03-02T09:00:00Z", "v": 7, "c": "c", "t": "text", "f": [1]}, {"s": "2"}]
}
ALERT = {
    "composite_id": "cid:ind:1", "updated_timestamp": "2026-03-02T09:00:00Z", "status": "new", "severity": 70,
    "agent_id": "a1", "device": {"device_id": "a1"}, "confidence": 80, "tactic": "t",
}  # fmt: skip
HOST = {"device_id": "a1", "serial_number": "S", "last_seen": "2026-03-02T09:00:00Z", "os_version": "11",
        "reduced_functionality_mode": "no"}  # fmt: skip
LINE = {"metadata": {"offset": 1, "eventType": "EppDetectionSummaryEvent", "eventCreationTime": 1772442000000},
        "event": {"CompositeId": "c", "AgentId": "a", "SeverityName": "High"}}  # fmt: skip


def wiring(vendor: str, **options: Any) -> Wiring:
    made = ConnectorDefinition("x", vendor, "edr", base_url="https://x.example", client_id="c", options=options)
    clock, http = FakeClock(NOW), None
    return Wiring(definition=made, options=check(made), secrets={"push": b"s"}, base_url="https://x.example",
                  http=http, clock=clock, paces=Paces(clock), group="x")  # type: ignore[arg-type]  # fmt: skip


FALCON = wiring("crowdstrike")
SENDER = Generic(wiring("generic", **GENERIC))


def _generic(data: bytes) -> None:
    for signal in SENDER.preview(Request("POST", "/", b"", b"", (), {}, data)):
        assert decode(encode(signal)) == signal


def _items(data: bytes, read: Callable[[Any], Any]) -> None:
    try:
        items = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    found, spoilt = each(items if isinstance(items, list) else [items], read, name=lambda item: item["composite_id"])
    assert all(one.message_id for one in spoilt)
    for signal in found:
        if hasattr(signal, "kind"):
            assert decode(encode(signal)) == signal


def _alert(data: bytes) -> None:
    _items(data, lambda item: mapping.alert_signal(FALCON, mapping_shaped(item, mapping.Alert)))


def _host(data: bytes) -> None:
    _items(data, lambda item: mapping.host_report(mapping_shaped(item, mapping.Host), trust_serial=False))


def mapping_shaped(item: Any, kind: Any) -> Any:
    from troth.connect.api import shaped

    return shaped(item, kind)


def _line(data: bytes) -> None:
    made = stream.EventStream(FALCON, None, "a")  # type: ignore[arg-type]
    for raw in stream._split(bytearray(), data):
        offset = stream._offset(raw, 4)
        assert offset >= 0
        each([("0", raw)], lambda one: made._signal(*one), name=lambda one: str(one))


PARSERS: dict[str, tuple[Callable[[bytes], object], Any]] = {
    "generic": (_generic, EVENTS),
    "alert": (_alert, ALERT),
    "host": (_host, HOST),
    "stream": (_line, LINE),
}


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)  # fmt: skip
@given(st.data())
def test_a_parser_answers_or_refuses(name: str, data: st.DataObject) -> None:
    parse, seed = PARSERS[name]
    if data.draw(st.integers(0, 4)) == 0:
        given_ = data.draw(st.binary(max_size=200))
    else:
        text = json.dumps(seed).encode() + b"\n"
        given_ = mutated(text, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(given_)
    except TrothError:
        pass


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(0, 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.just([])
    | st.just({})
)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@given(
    st.dictionaries(
        st.sampled_from([*ALERT, *HOST, "event", "metadata", *LINE["metadata"], *LINE["event"]]), scalars, max_size=8
    )
)
def test_any_value_in_any_field_is_read_or_kept(fields: dict[str, Any]) -> None:
    nested = {name: dict(LINE[name]) | fields for name in LINE}
    for seed, read in ((ALERT | fields, _alert), (HOST | fields, _host), (LINE | fields, _line), (nested, _line)):
        try:
            read(msgspec.json.encode(seed) + b"\n")
        except TrothError:
            pass


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 6), st.integers(0, 2**32))
def test_a_definition_is_read_or_refused(changes: int, number: int) -> None:
    text = json.dumps({"connectors": [{"name": "a", "vendor": "generic", "feed": "b", "options": GENERIC}]}).encode()
    try:
        for one in parse_connectors(mutated(text, changes, number).decode("utf-8", "replace")):
            check(one)
    except TrothError:
        pass
