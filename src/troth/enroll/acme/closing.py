"""Accounts closed by the server (RFC 8555, 7.1.2: ``revoked``), alone or with the enrolment that opened them.

What an account has under way ends in the same unit. Its certificates stay, unless the operator wants them revoked too:
then a job does it, batch by batch, and whatever dies in between is taken up where it was left.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from troth.audit.event import Event
from troth.enroll.acme import account_store, store
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.errors import ACCOUNT_CLOSED, ACCOUNT_NOT_FOUND
from troth.enroll.acme.model import Account
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki import revocation
from troth.pki.errors import ALREADY_REVOKED, RevocationRefused
from troth.store.jobs import Job, LeasedJob, enqueue, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

REVOKE_JOB = "acme.revoke_certificates"
#: What was granted is taken back: privilegeWithdrawn (RFC 5280, 5.3.1).
REASON = 9
#: More certificates than this are not shown before, and not revoked in one batch.
BATCH = 100
COUNTED = 10_000
#: Accounts named in one event.
_NAMED = 200


class AccountRefused(TrothError):
    """There is no such account, or it is closed already."""


class Closer:
    """Closes accounts, and finds what would be hit."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = AccountStore(database)

    async def get(self, account: UUID) -> Account:
        """One account. Raises AccountRefused if there is none."""
        found = await self._store.account(account)
        if found is None:
            raise AccountRefused(ACCOUNT_NOT_FOUND)
        return found

    async def revoke(self, account: UUID, *, by: str, certificates: bool, joined: Unit | None = None) -> None:
        """Close one account, in one unit with ``joined``. Raises AccountRefused if it is closed already."""
        found = await self.get(account)
        closed = AccountRefused(ACCOUNT_CLOSED, f"it is {found.status}")
        unit = (joined or Unit()).guard(account_store.ACCOUNT_VALID, account, refuse=closed, key=account)
        unit.write(account_store.REVOKE_ACCOUNT, account)
        unit.write(store.CANCEL_AUTHZS, account).write(store.CANCEL_ORDERS, account)
        unit.record(Event("acme.account.revoked", by, (f"account:{account}",), {"why": "an operator closed it"}))
        if certificates:
            self.certificates(unit, "account", account, by)
        await self._database.commit(unit)

    def enrolled(self, unit: Unit, enrolment: UUID, by: str) -> Unit:
        """Let ``unit``, which ends an enrolment, close its accounts. See ``credentials.service.Closing``."""

        async def step(reader: Reader, inner: Unit) -> None:
            # Each of them is named: on its own timeline, and so that a restore brings it back closed.
            found = await AccountStore(reader).open_of_enrolment(enrolment)
            for start in range(0, len(found), _NAMED):
                named = tuple(f"account:{one}" for one in found[start : start + _NAMED])
                inner.record(Event("acme.accounts.closed", by, (f"enrolment:{enrolment}", *named)))

        return unit.then(step).write(account_store.CLOSE_ENROLLED, enrolment)

    def enrolled_with_certificates(self, unit: Unit, enrolment: UUID, by: str) -> Unit:
        """The same, and their certificates are revoked."""
        return self.certificates(self.enrolled(unit, enrolment, by), "enrolment", enrolment, by)

    def certificates(self, unit: Unit, whose: str, identifier: UUID, by: str) -> Unit:
        """Let ``unit`` order the revocation of the living certificates of an account or of an enrolment's."""
        payload = {"whose": whose, "id": str(identifier), "by": by}
        return enqueue(unit, Job(REVOKE_JOB, f"{whose}:{identifier}", self._clock.now(), payload))

    async def living(self, whose: str, identifier: UUID) -> int:
        """How many certificates that would hit, :data:`COUNTED` at most."""
        return len(await self._living(whose, identifier, COUNTED))

    async def run(self, job: LeasedJob) -> None:
        """The next batch. Doing it twice changes nothing."""
        payload: dict[str, Any] = dict(job.payload)
        now, unit = self._clock.now(), Unit()
        found = await self._living(payload["whose"], UUID(payload["id"]), BATCH)
        for one in sorted(found):
            revocation.revoke(unit, revocation.OfCertificate(one), reason=REASON, actor=payload["by"], at=now)
        # Done only when a last look finds nothing: what was at the gate meanwhile has its certificate by then.
        unit = postpone(unit, job, now) if found else finish(unit, job)
        try:
            await self._database.commit(unit)
        except RevocationRefused as refusal:
            if refusal.reason is not ALREADY_REVOKED:
                raise
            await self._database.commit(postpone(Unit(), job, now))  # somebody else was faster: look again

    async def _living(self, whose: str, identifier: UUID, limit: int) -> list[UUID]:
        now = self._clock.now()
        if whose == "enrolment":
            return await self._store.living_of_enrolment(identifier, now, limit)
        return await self._store.living(identifier, now, limit)
