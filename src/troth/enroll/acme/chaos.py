"""Test mode: a server that is as awkward as RFC 8555 allows, for those who write clients (after Pebble).

A client that is only ever met with good weather breaks in bad. Here nonces are refused, proofs are asked for again or
never, validation and issuance are slow, lists come in small pages, and the paths in the directory are new at each
look: all of it within the protocol. With
``always_valid`` nothing is proved at all. None of this is to be had by mistake: each setting is refused unless test
mode is turned on as such, every process says so at its start, and the dashboard for as long as it lasts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from troth.enroll.acme.errors import TEST_MODE
from troth.enroll.acme.jws import Nonces
from troth.enroll.acme.model import Order
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.kit.acme_settings import AcmeTestSettings
from troth.kit.clock import Clock, SystemClock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("acme")


#: Bits of a UUID of version 7 below its milliseconds.
_BELOW_TIME = 80


class TestModeRefused(TrothError):
    """The settings of test mode contradict each other, or the installation."""

    __test__ = False


@dataclass(frozen=True)
class Chaos:
    """What is awkward; everything as usual by default.

    Attributes:
        chance: a number from 0 to 99, each as likely.
        clock: the system's, which the ids are made by.
    """

    settings: AcmeTestSettings = field(default_factory=AcmeTestSettings)
    chance: Callable[[], int] = lambda: secrets.randbelow(100)
    clock: Clock = field(default_factory=SystemClock)

    def __bool__(self) -> bool:
        return self.settings.enabled

    @property
    def random_paths(self) -> bool:
        """Whether the directory's paths are new at each look."""
        return self.settings.enabled and self.settings.random_paths

    def reuses(self) -> bool:
        """Whether a proof that the account holds is taken for one more name."""
        return not self or self.chance() < self.settings.reuse_proofs_percent

    def page(self, usual: int) -> int:
        """How many orders are on a page of a list."""
        return (self.settings.orders_per_page if self else 0) or usual

    def told(self, order: Order) -> Order:
        """``order`` as clients are told of it: processing for a while, though its certificate is there.

        Its age is read from the certificate's id, so that all processes say the same.
        """
        wait = self.settings.finalize_delay_milliseconds if self else 0
        if not wait or order.status != "valid" or order.certificate_id is None:
            return order
        if self.clock.now().timestamp() * 1000 - (order.certificate_id.int >> _BELOW_TIME) >= wait:
            return order
        return structs.replace(order, status="processing", certificate_id=None)

    def nonces(self, nonces: Nonces) -> Nonces:
        """``nonces``, of which a share is refused."""
        percent = self.settings.reject_nonces_percent
        return _Spoilt(nonces, percent, self.chance) if self and percent else nonces

    def validating(self, inner: Validating) -> Validating:
        """``inner``, slowed down, or with everything valid."""
        slow = self.settings.validation_delay_milliseconds
        if not self or not (slow or self.settings.always_valid):
            return inner
        return _Slow(inner, slow / 1000, self.settings.always_valid)


def chaos_of(settings: AcmeTestSettings, trial: Iterable[bool]) -> Chaos:
    """Test mode as the configuration has it; told to the log.

    ``trial``: of each authority with a key here, whether it is one for trial. Raises TestModeRefused.
    """
    if not settings.enabled:
        usual = AcmeTestSettings()
        odd = [name for name in settings.__struct_fields__ if getattr(settings, name) != getattr(usual, name)]
        if odd:
            raise TestModeRefused(TEST_MODE, f"acme_test.{odd[0]} is set, and acme_test.enabled is not")
        return Chaos()
    if settings.always_valid and not all(trial):
        raise TestModeRefused(TEST_MODE, "acme_test.always_valid is refused where an authority is no trial authority")
    log.warning("acme.test_mode", **{name: value for name, value in structs.asdict(settings).items() if value})
    return Chaos(settings)


@dataclass(frozen=True)
class _Spoilt:
    inner: Nonces
    percent: int
    chance: Callable[[], int]

    def issue(self) -> str:
        return self.inner.issue()

    def consume(self, nonce: str) -> bool:
        # It is used up in either case: a client that sends the refused one again must fail, too.
        return self.inner.consume(nonce) and self.chance() >= self.percent


@dataclass(frozen=True)
class _Slow:
    inner: Validating
    seconds: float
    always_valid: bool

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        await asyncio.sleep(self.seconds)
        if self.always_valid:
            return Valid((Attempt("nothing", None, "valid by test mode"),))
        return await self.inner.validate(challenge)

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        return await self.inner.permitted(question, issuers)
