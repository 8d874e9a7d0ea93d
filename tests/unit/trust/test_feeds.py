"""Feed definitions, grants, caps and sealed secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clocks import START
from troth.kit.ids import new_id
from troth.trust.feeds.caps import Cap
from troth.trust.feeds.model import FeedDefinition, in_force, parse_feeds, shown
from troth.trust.model import Kind, Subject
from troth.trust.signals.errors import FeedInvalid, SignalError
from troth.trust.signals.model import KINDS, Effect, Whom, signal
from troth.trust.standing import Standing

GOOD = """
feeds:
  - name: edr
    kinds: [edr.*, idp.user_disabled]
    scope: {subjects: [device], groups: [laptops]}
    greatest_effect: quarantined
    may_clear: true
    cap: {percent: 5, window_seconds: 600}
"""


def test_a_definition_is_read_and_its_gaps_are_filled_from_the_settings() -> None:
    (definition,) = parse_feeds(GOOD)
    feed = in_force(definition, Cap(2, 7, timedelta(hours=1)), at=START, actor="admin:alice")
    assert feed.cap == Cap(5, 7, timedelta(seconds=600))
    assert feed.greatest_effect is Standing.QUARANTINED
    assert feed.may_send("edr.intrusion")
    assert feed.may_send("idp.user_disabled")
    assert not feed.may_send("idp.user_deleted")
    assert not feed.may_send("edrx.intrusion")


@pytest.mark.parametrize(
    ("kind", "groups", "covered"),
    [(Kind.DEVICE, ("laptops", "x"), True), (Kind.DEVICE, ("x",), False), (Kind.USER, ("laptops",), False)],
)
def test_scope_is_kind_and_group(kind: Kind, groups: tuple[str, ...], covered: bool) -> None:
    feed = in_force(parse_feeds(GOOD)[0], Cap(), at=START, actor="a")
    assert feed.covers(Subject(new_id(), kind, "it", "test", groups=groups)) is covered


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("feeds: [{name: edr, kinds: [edr.*], greatest_efect: restricted}]", "greatest_efect"),
        ("feeds: [{name: edr, kinds: [edr.explodes]}]", "edr.explodes"),
        ("feeds: [{name: edr, kinds: ['*']}]", "kinds"),
        ("feeds: [{name: edr, kinds: []}]", "kinds"),
        ("feeds: [{name: 'person:bob', kinds: [edr.*]}]", "name"),
        ("feeds: [{name: edr, kinds: [edr.*]}, {name: edr, kinds: [mdm.*]}]", "twice"),
        ("feeds: [{name: edr, kinds: [edr.*], cap: {percent: 101}}]", "percent"),
        ("feeds: [{name: edr, kinds: [edr.*], greatest_effect: trusted}]", "greatest_effect"),
        ("feeds: {", "line 2"),
        ("- 1", "object"),
        ("x" * 300_000, "256 KiB"),
    ],
)
def test_a_wrong_definition_is_refused_and_its_field_named(text: str, names: str) -> None:
    with pytest.raises(FeedInvalid) as caught:
        parse_feeds(text)
    assert names in caught.value.detail


def test_the_cap_is_the_greater_of_the_two() -> None:
    assert Cap().allowed(0) == 10
    assert Cap().allowed(499) == 10
    assert Cap().allowed(10_000) == 200
    assert Cap(percent=0, subjects=0).allowed(10_000) == 0


def test_a_secret_is_shown_as_standard_webhooks_says() -> None:
    assert shown(b"\0" * 3) == "whsec_AAAA"


def test_every_kind_that_raises_can_be_undone_by_a_kind_of_the_same_cause_unless_it_is_proof() -> None:
    clears = {kind.cause for kind in KINDS.values() if kind.effect is Effect.CLEAR}
    raises = {kind.cause for kind in KINDS.values() if kind.effect is Effect.RAISE}
    assert clears <= raises
    assert raises - clears == {"integrity.key", "integrity.forgery"}


def test_kinds_are_named_by_their_own_name() -> None:
    assert all(name == kind.name for name, kind in KINDS.items())
    assert all((kind.level is Standing.TRUSTED) == (kind.effect is Effect.CLEAR) for kind in KINDS.values())


def test_a_signal_takes_its_kinds_defaults() -> None:
    made = signal(
        feed="edr", message_id="m", digest=b"", kind="edr.intrusion", whom=Whom(id=new_id()), observed_at=START,
        now=START,
    )  # fmt: skip
    assert (made.effect, made.level, made.cause) == (Effect.RAISE, Standing.QUARANTINED, "edr")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "edr.explodes"}, SignalError),
        ({"observed_at": START + timedelta(minutes=6)}, SignalError),
        ({"observed_at": START.replace(tzinfo=None)}, ValueError),
        ({"level": Standing.TRUSTED}, ValueError),
        ({"message_id": ""}, ValueError),
        ({"cause": "a b"}, ValueError),
        ({"evidence": "x" * 1001}, ValueError),
    ],
)
def test_a_senseless_signal_cannot_be_made(changes: dict[str, object], error: type[Exception]) -> None:
    values: dict[str, object] = {
        "feed": "edr", "message_id": "m", "digest": b"", "kind": "edr.intrusion", "whom": Whom(id=new_id()),
        "observed_at": START, "now": START,
    }  # fmt: skip
    with pytest.raises(error, match=r"."):
        signal(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [{}, {"kind": "device"}, {"name": "x"}, {"id": new_id(), "device_serial": "x"},
     {"id": new_id(), "kind": "device"}, {"device_serial": "x", "name": "y"}],
)  # fmt: skip
def test_a_subject_is_named_in_exactly_one_way(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a subject is named by"):
        Whom(**fields)  # type: ignore[arg-type]


def test_a_definition_needs_only_a_name_and_kinds() -> None:
    assert parse_feeds("feeds: [{name: edr, kinds: [edr.*]}]") == (FeedDefinition("edr", ("edr.*",)),)
