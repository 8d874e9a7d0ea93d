"""Asking a vantage elsewhere. What goes wrong on the way is an answer like any other: nothing was seen from there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from troth.client.acme_session import sign_jws
from troth.client.errors import TransportError
from troth.client.pinned import PinnedKey, by_pin
from troth.client.transport import Transport
from troth.enroll.acme.errors import VALIDATION_VANTAGE
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.vantage.wire import MAX_ANSWER, MEDIA_TYPE, PATH, Question, Seen, outcome, read_seen
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger

log = get_logger("acme")

#: Seconds for the way there and back, beside what the vantage takes for looking.
_ON_THE_WAY = 2.0


@dataclass
class RemoteVantage:
    """One vantage.

    Attributes:
        url: where it listens, ``https://HOST:PORT``.
        pin: of its key.
        key: ours.
        budget: seconds that it may take for one look.
    """

    name: str
    url: str
    pin: str
    key: PinnedKey
    clock: Clock
    budget: float
    _transport: Transport = field(init=False)

    def __post_init__(self) -> None:
        # A connection for each question: they are few, and none is left lying about.
        self._transport = Transport(
            by_pin(), timeout=self.budget + _ON_THE_WAY, per_origin=0, pin=self.pin, longest=MAX_ANSWER
        )

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        """See :class:`~troth.enroll.acme.validate.perspectives.Validating`."""
        return await self._seen(challenge=challenge)

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        """As above, of CAA alone."""
        return await self._seen(caa=question, issuers=tuple(issuers))

    async def greet(self) -> Seen:
        """Whether it is there and lets us ask. Raises TransportError or ValueError with what is wrong."""
        return await self._ask(self._question())

    def _question(
        self, challenge: Challenge | None = None, caa: CaaQuestion | None = None, issuers: tuple[str, ...] = ()
    ) -> Question:
        return Question(
            to=self.pin,
            id=new_id().hex,
            at=self.clock.now().timestamp(),
            budget=self.budget,
            challenge=challenge,
            caa=caa,
            issuers=issuers,
        )

    async def _seen(
        self, challenge: Challenge | None = None, caa: CaaQuestion | None = None, issuers: tuple[str, ...] = ()
    ) -> Valid | Invalid:
        try:
            return outcome(await self._ask(self._question(challenge, caa, issuers)))
        except (TransportError, ValueError) as error:
            why = error.detail if isinstance(error, TransportError) else str(error)
            log.warning("vantage.failed", vantage=self.name, detail=why)
            return Invalid(AcmeProblem(VALIDATION_VANTAGE, why), True, ())

    async def _ask(self, question: Question) -> Seen:
        signed = sign_jws(
            self.key.signing,
            {"alg": "ES256", "jwk": dict(self.key.signing.public.jwk)},
            msgspec.json.encode(question),
        )
        answer = await self._transport.request(
            "POST", f"{self.url}{PATH}", body=signed, headers={"content-type": MEDIA_TYPE}
        )
        if answer.status != 200:
            words = answer.body[:200].decode("utf-8", "replace").strip()
            raise ValueError(f"it answered with status {answer.status}: {words}")
        return read_seen(answer.body)


async def greet_all(vantages: Sequence[RemoteVantage]) -> list[Seen | str]:
    """Each one's greeting, or what is wrong with it."""

    async def one(vantage: RemoteVantage) -> Seen | str:
        try:
            return await vantage.greet()
        except TransportError as error:
            return error.detail
        except ValueError as error:
            return str(error)

    return list(await asyncio.gather(*(one(vantage) for vantage in vantages)))
