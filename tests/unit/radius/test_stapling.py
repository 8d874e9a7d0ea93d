"""The staple is fetched before it is asked for, renewed at half of its time, and never given once that is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from tests.support.supplicants import lab, status_of
from troth.kit.clock import FakeClock
from troth.kit.errors import INTERNAL, TrothError
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.identity import with_second
from troth.radius.identity.stapling import Stapler


@dataclass
class Answer:
    status: str
    next_update: datetime | None


class Responder:
    """Answers as it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.status = "good"
        self.down = False
        self.life: timedelta | None = timedelta(hours=4)
        self.asked: list[tuple[bytes, bytes]] = []

    async def fetch(self, leaf: bytes, issuer: bytes) -> tuple[bytes, Answer]:
        self.asked.append((leaf, issuer))
        if self.down:
            raise TrothError(INTERNAL, "nobody answers")
        until = None if self.life is None else self._clock.now() + self.life
        return status_of(lab().server), Answer(self.status, until)


@pytest.fixture
def contexts() -> Contexts:
    made = Contexts()
    made.install(lab().identity, [lab().network()])
    return made


@pytest.fixture
def responder(clock: FakeClock) -> Responder:
    return Responder(clock)


def stapled(contexts: Contexts, clock: FakeClock) -> bool:
    return contexts.expire_staple(clock.monotonic())


async def test_it_is_fetched_at_once_and_again_at_half_of_its_time(
    contexts: Contexts, responder: Responder, clock: FakeClock
) -> None:
    stapler = Stapler(contexts, responder.fetch, clock)
    assert await stapler.run_once()
    assert responder.asked == [(lab().server.der, lab().issuing.der)]
    clock.advance(timedelta(hours=2, seconds=-1))
    assert await stapler.run_once()
    assert len(responder.asked) == 1
    clock.advance(timedelta(seconds=1))
    assert await stapler.run_once()
    assert len(responder.asked) == 2


async def test_a_responder_that_is_down_is_asked_again_soon_and_an_old_answer_ends_with_its_time(
    contexts: Contexts, responder: Responder, clock: FakeClock
) -> None:
    stapler = Stapler(contexts, responder.fetch, clock)
    await stapler.run_once()
    responder.down = True
    clock.advance(timedelta(hours=3))
    assert await stapler.run_once()
    for number, pause in enumerate((2, 4, 8, 16, 32, 60, 60)):
        clock.advance(timedelta(seconds=pause - 1))
        await stapler.run_once()
        assert len(responder.asked) == 2 + number
        clock.advance(timedelta(seconds=1))
        await stapler.run_once()
        assert len(responder.asked) == 3 + number
    clock.advance(timedelta(hours=1))
    assert not await stapler.run_once()
    assert not stapled(contexts, clock)


async def test_revoked_is_told_and_what_is_unknown_or_over_is_not(
    contexts: Contexts, responder: Responder, clock: FakeClock
) -> None:
    responder.status = "unknown"
    assert not await Stapler(contexts, responder.fetch, clock).run_once()
    responder.status, responder.life = "good", timedelta(0)
    assert not await Stapler(contexts, responder.fetch, clock).run_once()
    responder.status, responder.life = "revoked", None
    assert await Stapler(contexts, responder.fetch, clock).run_once()
    clock.advance(timedelta(hours=12))
    assert not stapled(contexts, clock)


async def test_another_certificate_has_another_staple(
    contexts: Contexts, responder: Responder, clock: FakeClock
) -> None:
    stapler = Stapler(contexts, responder.fetch, clock)
    await stapler.run_once()
    contexts.install(lab("mldsa65").identity, [lab().network()])
    assert not stapled(contexts, clock)
    assert await stapler.run_once()
    assert responder.asked[-1][0] == lab("mldsa65").server.der


async def test_each_of_two_certificates_has_its_own(contexts: Contexts, responder: Responder, clock: FakeClock) -> None:
    first, second = lab().server.der, lab("rsa").server.der
    contexts.install(with_second(lab().identity, lab("rsa").identity), [lab().network()])
    stapler = Stapler(contexts, responder.fetch, clock)
    assert await stapler.run_once()
    assert [leaf for leaf, _ in responder.asked] == [first, second]
    # The second is renewed alone: the first's goes on.
    contexts.install(with_second(lab().identity, lab("mldsa65").identity), [lab().network()])
    assert not stapled(contexts, clock)
    assert await stapler.run_once()
    assert [leaf for leaf, _ in responder.asked[2:]] == [lab("mldsa65").server.der]
    responder.down = True
    clock.advance(timedelta(hours=2, minutes=1))
    assert await stapler.run_once()
    assert len(responder.asked) == 5, "both are due at half of their time"


async def test_without_a_certificate_nobody_is_asked(responder: Responder, clock: FakeClock) -> None:
    assert not await Stapler(Contexts(), responder.fetch, clock).run_once()
    assert not responder.asked
