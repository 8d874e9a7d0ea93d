"""When to renew, and what an order replaces: renewal information on the server's side (RFC 9773).

The window is a function of the certificate alone: a third of its life before its end (half of it for those that live
less than ten days), moved a little by a digest of its serial number, so that what was issued together is not renewed
together. Three things pull it into the past: the certificate is revoked; an operator has named it in an incident and
its turn has come (``incidents``); its authority is drained in a rollover, where the turns lie evenly until the day by
which it is to be renewed. Nothing else does. Risk, posture and standing of a subject are *not* told here: a client
whose machine was broken into would learn from an early window that somebody has noticed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509

from troth.client.renewal import make_cert_id, parse_cert_id
from troth.enroll.acme import errors
from troth.enroll.acme.model import Account
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.renewal_store import Renewable, RenewalStore
from troth.kit.clock import Clock, to_seconds
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki.catalogue import Catalogue
from troth.store.pool import Database

log = get_logger("acme")

#: Of certificates that live shorter, half of the life is left at renewal, of others a third.
_SHORT = timedelta(days=10)
#: A window is this share of the life long, and is moved by up to as much to either side.
_WIDTH = 0.02
_HOUR, _HALF = timedelta(hours=1), timedelta(minutes=30)
#: Seconds between two looks of a client.
_USUAL, _LEAST, _PAST = 21_600, 60, 3600


@dataclass(frozen=True, slots=True)
class Window:
    """What is told of one certificate. ``retry_after`` in seconds."""

    start: datetime
    end: datetime
    retry_after: int
    explanation_url: str = ""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The certificate that an order replaces.

    Attributes:
        cert_id: as the client wrote it; echoed in the order.
        exempt: its window has begun, and no order has tried before. Such an order is a renewal that the server asked
            for: limits on new orders let it pass, once (an order that is given up does not open them again).
    """

    certificate_id: UUID
    cert_id: str
    exempt: bool


def usual_window(serial: bytes, not_before: datetime, not_after: datetime) -> tuple[datetime, datetime]:
    """The window of a certificate of which nothing else is to be said; always within its life."""
    life = not_after - not_before
    left = life / 2 if life < _SHORT else life / 3
    start = not_after - left + life * _WIDTH * (2 * _place(serial) - 1.5)
    return to_seconds(start), to_seconds(start + max(life * _WIDTH, timedelta(seconds=2)))


def _place(serial: bytes) -> float:
    """From 0 to 1, evenly over all serial numbers."""
    return int.from_bytes(hashlib.sha256(serial).digest()[:4], "big") / 2**32


def _drained(one: Renewable) -> datetime | None:
    """The turn of a certificate whose authority is drained: some time before the last tenth of what is left for it."""
    if one.drained_from is None or one.renew_by is None:
        return None
    return one.drained_from + (one.renew_by - one.drained_from) * 0.9 * _place(one.serial)


def window_of(one: Renewable, now: datetime) -> Window:
    """What to tell of ``one`` now."""
    if one.revoked:
        start = to_seconds(one.status_at)
        return Window(start - _HOUR, start - _HALF, _jittered(_PAST))
    start, end = usual_window(one.serial, one.not_before, one.not_after)
    asked = _asked_again(one.not_after - one.not_before)
    turns = [turn for turn in (one.due_at, _drained(one)) if turn is not None]
    if not turns or min(turns) >= start:
        return Window(start, end, _jittered(asked))
    turn = min(turns)
    if turn <= now:
        due = to_seconds(turn)
        return Window(due - _HOUR, due - _HALF, _jittered(min(_PAST, asked)), one.explanation_url)
    # Its turn comes later: the client is told to ask again then, so that what was spread stays spread.
    left = int((turn - now).total_seconds()) + 1
    return Window(start, end, max(_LEAST, min(left, asked)), one.explanation_url)


def _asked_again(life: timedelta) -> int:
    """Six hours, and sooner for certificates that live for hours: twenty looks in a life."""
    return max(_LEAST, min(_USUAL, int(life.total_seconds() / 20)))


def _jittered(seconds: int) -> int:
    """A tenth more or less, so that clients that started together do not stay together."""
    return max(_LEAST, seconds - seconds // 10 + secrets.randbelow(seconds // 5 + 1))


class Renewals:
    """Answers to renewalInfo, and the judge of ``replaces``.

    Args:
        strict: refuse an order that names a certificate which it cannot replace. By default such a name is told to
            the log and ignored: clients keep sending a stale one after a change of names or servers (win-acme #2791),
            and would never renew again.
    """

    def __init__(self, database: Database, catalogue: Catalogue, clock: Clock, *, strict: bool = False) -> None:
        self._store = RenewalStore(database.lookups)
        self._catalogue = catalogue
        self._clock = clock
        self._strict = strict

    async def info(self, text: str) -> Window:
        """What to tell of the certificate called ``text``. Raises AcmeProblem (400, 404)."""
        return window_of(await self._named(text), self._clock.now())

    async def replaced(self, account: Account, value: object, names: Sequence[Identifier]) -> Replaced | None:
        """What an order for ``names`` replaces by saying ``value``; None where that is to be ignored.

        Whether another order was first is asked when the order is written (:data:`~.renewal_store.REPLACE`).

        Raises AcmeProblem for what is no CertID, and, if strict, for a certificate that cannot be replaced so.
        """
        if value is None:
            return None
        try:
            if not isinstance(value, str):
                raise AcmeProblem(errors.RENEWAL_MALFORMED, "replaces is not a string")
            one = await self._named(value)
            self._check(one, account, names)
        except AcmeProblem as problem:
            if self._strict:
                raise
            log.info("acme.replaces_ignored", account=str(account.id), reason=problem.reason.code, why=problem.detail)
            return None
        now = self._clock.now()
        return Replaced(one.id, value, window_of(one, now).start <= now and not one.tried)

    @staticmethod
    def _check(one: Renewable, account: Account, names: Sequence[Identifier]) -> None:
        if one.account_id != account.id:
            raise AcmeProblem(errors.REPLACES_REFUSED, "the certificate to be replaced was not ordered by this account")
        if not {name.value for name in names} & {value for _, value in one.names}:
            raise AcmeProblem(errors.REPLACES_REFUSED, "the certificate to be replaced has none of the order's names")

    async def _named(self, text: str) -> Renewable:
        try:
            key_id, serial = parse_cert_id(text)
        except TrothError as error:
            raise AcmeProblem(errors.RENEWAL_MALFORMED, error.detail) from None
        one = await self._store.renewable(serial.to_bytes(serial.bit_length() // 8 + 1, "big"))
        if one is None or self._key_id(one.authority) != key_id:
            raise AcmeProblem(errors.RENEWAL_UNKNOWN)
        return one

    def _key_id(self, authority: str) -> bytes | None:
        found = self._catalogue.authorities.get(authority)
        if found is None:
            return None
        try:
            return found.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            return None  # an authority that was made elsewhere: its certificates cannot be named so

    def cert_id(self, authority: str, serial: bytes) -> str:
        """How clients call a certificate of ours."""
        return make_cert_id(self._key_id(authority) or b"", int.from_bytes(serial, "big"))
