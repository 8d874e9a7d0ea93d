"""What is told elsewhere, purely: nothing that a name could make of it, and the same bytes at every try."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.connect.effects.chat import _STYLES
from troth.connect.effects.mail import message
from troth.connect.effects.smtp import read_reply, stuffed
from troth.connect.effects.webhook import body_of
from troth.connect.effects.words import lines
from troth.kit.ids import new_id
from troth.trust.outbox.model import Effect, EffectSubject, Notice
from troth.trust.outbox.reactions import MailTarget

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_MAIL = MailTarget(
    name="soc", server="mx.example.com", sender="troth@example.com", to=("a@example.com", "b@example.com")
)


def _effect(name: str = "laptop-17") -> tuple[Effect, EffectSubject]:
    notice = Notice(
        "device", name, "trusted", "quarantined", 3, ({"feed": "edr", "cause": "alert-1", "level": "quarantined"},)
    )
    effect = Effect(
        id=new_id(), subject_id=new_id(), standing_version=3, port="notify", target="soc", acting=False, undo="",
        undone=False, notice=notice, signal_id=new_id(), actor="feed:edr", automated=True, accepted_at=_AT,
        planned_at=_AT, due=_AT,
    )  # fmt: skip
    owner = EffectSubject(new_id(), "user", "alice", False)
    return effect, EffectSubject(effect.subject_id, "device", name, False, owner=owner)


def test_people_are_told_who_what_why_and_whose_it_is() -> None:
    text = "\n".join(lines(*_effect()))
    for part in ("laptop-17 went from trusted to quarantined", "user alice", "edr says alert-1", "on hold"):
        assert part in text


def test_a_mail_is_the_same_at_every_try_and_answered_by_no_machine() -> None:
    effect, subject = _effect()
    assert message(_MAIL, effect, subject) == message(_MAIL, effect, subject)
    read = message_from_bytes(message(_MAIL, effect, subject), policy=default)
    assert read["Subject"] == "Troth: device laptop-17 is quarantined"
    assert read["Message-ID"] == f"<effect.{effect.id}@example.com>"
    assert read["Auto-Submitted"] == "auto-generated"


@given(st.text(max_size=200))
def test_no_name_adds_a_header_or_a_line(name: str) -> None:
    read = message_from_bytes(message(_MAIL, *_effect(name)), policy=default)
    assert set(read.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
        "MIME-Version",
    }  # fmt: skip
    assert len(lines(*_effect(name))) == 6


@pytest.mark.parametrize("style", sorted(_STYLES))
def test_no_name_mentions_a_room_or_makes_a_link(style: str) -> None:
    effect, subject = _effect("<!channel> <users/all> [here](https://evil.example)")
    said = json.dumps(_STYLES[style](lines(effect, subject)))
    assert "<" not in said
    assert "](" not in said or style == "slack"  # Slack's links are in angle brackets


def test_a_webhooks_body_is_the_same_at_every_try() -> None:
    effect, _ = _effect()
    assert body_of(effect) == body_of(effect)
    told = json.loads(body_of(effect))
    assert told["type"] == "standing.changed"
    assert told["data"]["standing"] == {"before": "trusted", "after": "quarantined", "version": 3}


@given(st.binary(max_size=200))
def test_no_message_ends_before_its_end(body: bytes) -> None:
    wire = stuffed(body)
    assert wire.endswith(b".\r\n")
    assert wire.split(b"\r\n").count(b".") == 1
    assert b"\n" not in wire.replace(b"\r\n", b"")


@given(st.binary(max_size=300))
async def test_any_bytes_are_a_reply_or_refused(data: bytes) -> None:
    reader = asyncio.StreamReader(limit=2_048)
    reader.feed_data(data)
    reader.feed_eof()
    try:
        code, text = await read_reply(reader)
    except (ValueError, EOFError):
        return
    assert 0 <= code <= 999
    assert all(line.isprintable() for line in text.split("\n"))
