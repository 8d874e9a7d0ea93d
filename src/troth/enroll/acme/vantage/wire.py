"""What passes between Troth and a vantage: the question, its answer, and how both are read.

A question is a flattened JWS (RFC 7515, 7.2.2) by the asker's pinned key; it names the vantage that it is for, so that
no vantage can put it to another. The answer is believed for the pinned key of the TLS connection that it came by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from troth.enroll.acme.errors import VALIDATION_VANTAGE, VANTAGE_QUESTION
from troth.enroll.acme.identifiers import read_identifiers
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid
from troth.kit.errors import Reason, TrothError, registered_reasons

PATH = "/vantage"
MEDIA_TYPE = "application/jose+json"
MAX_QUESTION = 32_768
MAX_ANSWER = 65_536
#: Seconds by which the clocks may differ.
SKEW = 300.0

_MOST_ATTEMPTS = 60
_LONGEST_TEXT = 500
_TOKEN = re.compile(r"[A-Za-z0-9_-]{0,128}(\.[A-Za-z0-9_-]{43})?", re.ASCII)
_LABEL = re.compile(r"(_[a-z2-7]{16})?", re.ASCII)


class Question(Struct, frozen=True, kw_only=True):
    """One question: a challenge, or CAA alone; with neither it is a greeting.

    Attributes:
        to: pin of the vantage.
        id: of this question alone.
        at: when it was asked, seconds since 1970.
        budget: seconds within which the answer is of use.
        issuers: for ``caa``: the names under which Troth is known.
    """

    to: str
    id: str
    at: float
    budget: Annotated[float, Meta(gt=0, le=300)]
    challenge: Challenge | None = None
    caa: CaaQuestion | None = None
    issuers: tuple[str, ...] = ()


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer.

    Attributes:
        valid: whether it was seen; of a greeting: true.
        record: (target, address, result) of each try.
        at: the vantage's clock, seconds since 1970.
        version: the vantage's program.
    """

    valid: bool
    at: float
    version: str
    until: float | None = None
    reason: str = ""
    detail: str = ""
    retryable: bool = True
    record: tuple[tuple[str, str | None, str], ...] = ()


class QuestionRefused(TrothError):
    """It is not answered."""


def read_question(payload: bytes) -> Question:
    """A question whose signature holds. Raises QuestionRefused.

    Whoever signs is trusted to ask, and not to have the vantage send what he likes: names are canonical, and what goes
    into a request is of the alphabet that Troth draws from.
    """
    try:
        question = msgspec.json.decode(payload, type=Question)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise QuestionRefused(VANTAGE_QUESTION, "it is no question of this version") from error
    asked = question.challenge
    if asked is not None:
        _sound(asked.identifier)
        texts = (asked.token, asked.key_authorization)
        if not all(_TOKEN.fullmatch(text) for text in texts) or not _LABEL.fullmatch(asked.label):
            raise QuestionRefused(VANTAGE_QUESTION, "a token or label is not of the alphabet")
    if question.caa is not None:
        _sound(Identifier("dns", question.caa.name))
    return question


def _sound(identifier: Identifier) -> None:
    try:
        found = read_identifiers([{"type": identifier.type, "value": identifier.value}])
    except AcmeProblem as problem:
        raise QuestionRefused(VANTAGE_QUESTION, problem.detail) from problem
    if found != (identifier,) or identifier.value.startswith("*."):
        raise QuestionRefused(VANTAGE_QUESTION, "the identifier is not canonical")


def told(found: Valid | Invalid, *, at: float, version: str) -> bytes:
    """``found`` as an answer, JSON."""
    record = tuple((one.target, one.address, one.result) for one in found.record)
    if isinstance(found, Valid):
        return msgspec.json.encode(Seen(valid=True, at=at, version=version, until=found.until, record=record))
    problem = found.problem
    seen = Seen(
        valid=False,
        at=at,
        version=version,
        reason=problem.reason.code,
        detail=problem.detail,
        retryable=found.retryable,
        record=record,
    )
    return msgspec.json.encode(seen)


def read_seen(body: bytes) -> Seen:
    """An answer as it came. Raises ValueError for anything else."""
    try:
        return msgspec.json.decode(body, type=Seen)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("the answer cannot be read") from error


def outcome(seen: Seen) -> Valid | Invalid:
    """``seen`` in our terms. Its texts are a stranger's: short, and without what a terminal or a log would obey."""
    record = tuple(
        Attempt(_plain(target), _plain(address) if address else None, _plain(result))
        for target, address, result in seen.record[:_MOST_ATTEMPTS]
    )
    if seen.valid:
        return Valid(record, seen.until)
    return Invalid(AcmeProblem(_reason(seen.reason), _plain(seen.detail)), seen.retryable, record)


def _reason(code: str, known: Mapping[str, Reason] | None = None) -> Reason:
    if not code.startswith("acme.validation."):
        return VALIDATION_VANTAGE
    return (known or registered_reasons()).get(code, VALIDATION_VANTAGE)


def _plain(text: str) -> str:
    text = text[:_LONGEST_TEXT]
    return text if text.isprintable() else "".join(one if one.isprintable() else "�" for one in text)


def pins(texts: Sequence[str]) -> frozenset[str]:
    """Pins as configured, in lower case."""
    return frozenset(text.lower() for text in texts)
