"""What a webhook says: one JSON object, strict, turned into a normalised signal."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from troth.connect.webhook.errors import BODY_INVALID, BodyInvalid
from troth.trust.signals import MAX_EVIDENCE, Effect, Signal, Whom, signal
from troth.trust.standing import Standing

# PostgreSQL takes no NUL, and no name of ours has control characters or halves of surrogate pairs.
_Text = Annotated[str, msgspec.Meta(max_length=253, pattern="\\A[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]+\\Z")]


class SubjectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it is about: ``id``, or ``kind`` and ``name``, or ``device_serial``."""

    id: UUID | None = None
    kind: Literal["user", "device", "workload"] | None = None
    name: _Text | None = None
    device_serial: _Text | None = None


class SignalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole message.

    Attributes:
        kind: as in the list of kinds: ``edr.intrusion``.
        observed_at: RFC 3339 with an offset.
        effect: ``raise`` or ``clear``; the kind's own if left out.
        level: how far a raise should go; the kind's own if left out.
        cause: what is raised or cleared, such as an alert's id; the kind's own if left out.
        evidence: what a person should read about it.
    """

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    subject: SubjectBody
    observed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    effect: Literal["raise", "clear"] | None = None
    level: Literal["restricted", "quarantined", "distrusted"] | None = None
    cause: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")] | None = None
    evidence: Annotated[str, msgspec.Meta(max_length=MAX_EVIDENCE)] = ""


_decoder = msgspec.json.Decoder(SignalBody)


def read(body: bytes, *, feed: str, message_id: str, now: datetime) -> Signal:
    """The signal in ``body``. Raises BodyInvalid, or SignalError for what is well formed but makes no sense."""
    try:
        said = _decoder.decode(body)
        whom = Whom(
            id=said.subject.id,
            kind=said.subject.kind,
            name=said.subject.name,
            device_serial=said.subject.device_serial,
        )
        return signal(
            feed=feed,
            message_id=message_id,
            digest=hashlib.sha256(body).digest(),
            kind=said.kind,
            whom=whom,
            observed_at=said.observed_at,
            now=now,
            effect=None if said.effect is None else Effect(said.effect),
            level=None if said.level is None else Standing(said.level),
            cause=said.cause,
            evidence=_printable(said.evidence),
        )
    except (ValueError, RecursionError) as error:
        # msgspec's errors are ValueErrors; they name the field and the type that was expected, never the value.
        raise BodyInvalid(BODY_INVALID, str(error)[:300]) from error


def _printable(text: str) -> str:
    """Evidence is shown to people and printed on terminals: control characters go, and PostgreSQL takes no NUL."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
