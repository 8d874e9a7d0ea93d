"""What a webhook says: one JSON object, strict, turned into a normalised signal."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from troth.connect.webhook.errors import BODY_INVALID, BodyInvalid
from troth.trust.signals.model import MAX_EVIDENCE, Effect, Method, Signal, Verified, Whom, signal
from troth.trust.standing import Standing

# PostgreSQL takes no NUL, and no name of ours has control characters or halves of surrogate pairs.
_PLAIN = "\\A[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]+\\Z"
_Text = Annotated[str, msgspec.Meta(max_length=253, pattern=_PLAIN)]
_LongText = Annotated[str, msgspec.Meta(max_length=400, pattern=_PLAIN)]

_Share = Annotated[int, msgspec.Meta(ge=0, le=100)]


class AliasBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What another system calls the subject: ``{"system": "entra.device", "value": "…"}``."""

    system: Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_.-]{0,63}\Z")]
    value: _LongText


class CertificateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate: ``issuer`` (RFC 4514) and ``serial`` (hexadecimal), or ``sha256`` of its DER (hexadecimal)."""

    issuer: _LongText | None = None
    serial: Annotated[str, msgspec.Meta(min_length=1, max_length=80)] | None = None
    sha256: Annotated[str, msgspec.Meta(min_length=64, max_length=95)] | None = None

    def __post_init__(self) -> None:
        if (self.sha256 is not None) == (self.issuer is not None) or (self.issuer is None) != (self.serial is None):
            raise ValueError("a certificate is named by `issuer` and `serial`, or by `sha256`")

    @property
    def name(self) -> tuple[str, str] | None:
        """Issuer and serial number, if it is named by them."""
        return None if self.issuer is None or self.serial is None else (self.issuer, self.serial)


class SubjectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it is about: ``id``, or ``kind`` and ``name``, or ``device_serial``, or ``alias``, or ``certificate``."""

    id: UUID | None = None
    kind: Literal["user", "device", "workload"] | None = None
    name: _Text | None = None
    device_serial: _Text | None = None
    alias: AliasBody | None = None
    certificate: CertificateBody | None = None


class SignalBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole message.

    Attributes:
        kind: as in the list of kinds: ``edr.intrusion``.
        observed_at: RFC 3339 with an offset.
        effect: ``raise`` or ``clear``; the kind's own if left out.
        level: how far a raise should go; the kind's own if left out.
        cause: what is raised or cleared, such as an alert's id; the kind's own if left out.
        evidence: what a person should read about it.
        severity, confidence: 0 to 100; the kind's own if left out.
        expires_at: when the word weighs no more; RFC 3339 with an offset.
        sequence: the source's own number of the event.
        fields: evidence for machines.
    """

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    subject: SubjectBody
    observed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    effect: Literal["raise", "clear"] | None = None
    level: Literal["restricted", "quarantined", "distrusted"] | None = None
    cause: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")] | None = None
    evidence: Annotated[str, msgspec.Meta(max_length=MAX_EVIDENCE)] = ""
    severity: _Share | None = None
    confidence: _Share | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    sequence: (
        Annotated[str, msgspec.Meta(max_length=200, pattern="\\A[^\\x00-\\x1f\\x7f\\ud800-\\udfff]+\\Z")] | None
    ) = None
    fields: dict[str, bool | int | str | None] = {}


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
            alias=None if said.subject.alias is None else (said.subject.alias.system, said.subject.alias.value),
            certificate=None if said.subject.certificate is None else said.subject.certificate.name,
            certificate_sha256=None if said.subject.certificate is None else said.subject.certificate.sha256,
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
            severity=said.severity,
            confidence=said.confidence,
            expires_at=said.expires_at,
            sequence=said.sequence,
            verified=Verified(Method.HMAC),
            fields={
                _printable(name): _printable(value) if isinstance(value, str) else value
                for name, value in said.fields.items()
            },
        )
    except (ValueError, RecursionError) as error:
        # msgspec's errors are ValueErrors; they name the field and the type that was expected, never the value.
        raise BodyInvalid(BODY_INVALID, str(error)[:300]) from error


def _printable(text: str) -> str:
    """Evidence is shown to people and printed on terminals: control characters go, and PostgreSQL takes no NUL."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
