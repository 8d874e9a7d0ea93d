from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from troth.audit.event import StreamEvent
from troth.web.looks import LOOKS
from troth.web.words import BADGE_TEMPLATES, actor_words, ago, badge_look, duration, event_view, prose, sentence

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_no_status_is_told_by_colour_alone() -> None:
    for kind, looks in LOOKS.items():
        pairs = [(look.icon, look.word) for look in looks.values()]
        assert all(icon and word for icon, word in pairs), kind
        assert len({word for _, word in pairs}) == len(pairs), kind


def test_what_a_live_event_may_show_is_in_the_table() -> None:
    for kind, values in BADGE_TEMPLATES.items():
        assert set(values) <= set(LOOKS[kind])


def test_a_value_that_nobody_foresaw_is_shown_as_it_is() -> None:
    assert badge_look("status", "levitating").word == "levitating"


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-45), "45 seconds ago"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(hours=3), "in 3 hours"),
        (timedelta(days=29, hours=23), "in 29 days"),
        (timedelta(days=-800), "2 years ago"),
    ],
)
def test_times_are_told_in_the_largest_whole_unit(delta: timedelta, words: str) -> None:
    assert ago(NOW + delta, NOW) == words


def test_a_duration_of_nothing_is_zero_seconds() -> None:
    assert duration(0) == "0 seconds"


@pytest.mark.parametrize(
    ("actor", "words"),
    [
        ("admin:alice", "alice"), ("system:gate", "Troth (gate)"), ("feed:edr", "feed edr"), ("odd", "odd"),
        ("tpm:" + 64 * "a", "TPM aaaaaaaa"),
        (None, "nobody"),
    ],
)  # fmt: skip
def test_actors_are_told_as_people_say_it(actor: str | None, words: str) -> None:
    assert actor_words(actor) == words


def test_an_event_names_what_it_is_about_and_links_to_it() -> None:
    certificate, subject = uuid4(), uuid4()
    refs = (f"certificate:{certificate}", "authority:issuing", f"subject:{subject}")
    data = {"cause": f"standing:{subject}"}
    event = StreamEvent(7, uuid4(), uuid4(), NOW, "certificate.held", "feed:edr", refs, data)
    view = event_view(event, {refs[0]: "laptop-1.example", refs[2]: "laptop-1"})
    assert view.sentence == "Put laptop-1.example on hold: the standing of its subject"
    assert view.links == (("certificate", f"/certificates/{certificate}"), ("laptop-1", f"/subjects/{subject}"))


@pytest.mark.parametrize("kind", ["decision.made", "made.up.kind", "fact.changed"])
def test_an_event_that_lacks_what_its_sentence_needs_is_still_told(kind: str) -> None:
    assert sentence(kind, "it", {})


def test_braces_in_names_are_only_text() -> None:
    told = sentence("access.principal_created", "x", {"name": "{who.__class__}", "role": "auditor"})
    assert told == "Made the account {who.__class__} (auditor)"


def test_backticks_are_code_and_all_is_escaped() -> None:
    assert prose("say `troth <x>` & go") == "say <code>troth &lt;x&gt;</code> &amp; go"
    assert prose("a ` alone") == "a ` alone"
