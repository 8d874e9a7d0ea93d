"""Validations as jobs: the worker claims them, holds the challenge against the network and writes the result.

A failure that may pass (nothing listens yet, DNS has not spread) leaves the challenge in ``processing`` with its
``error`` shown, and is tried again until the tries are used up (RFC 8555 erratum 5732).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.enroll.acme.authorizations import replace_challenge
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.model import DNS_PERSIST_01, Account, Authorization
from troth.enroll.acme.model import Challenge as StoredChallenge
from troth.enroll.acme.orders import OrderDesk, validation
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.urls import Urls
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.views import rfc3339
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.jobs import LeasedJob, enqueue, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("acme")


class ValidationJobs:
    """Handler of ``acme.validate`` jobs."""

    def __init__(
        self,
        database: Database,
        desk: OrderDesk,
        validator: Validating | None,
        clock: Clock,
        directories: Mapping[str, Directory],
        *,
        base: str = "",
        attempts: int = 4,
        retry_after: timedelta = timedelta(seconds=2),
    ) -> None:
        """``retry_after`` is the pause before the second try; it doubles until ``attempts`` are used up.

        ``base`` is the public URL, which accounts are named by in zones. ``validator``: None for who runs no jobs, and
        writes what others find.
        """
        self._directories = directories
        self._base = base
        self._attempts = attempts
        self._retry_after = retry_after
        self._keys = AccountKeys()
        self._database = database
        self._store = AcmeStore(database.lookups)
        self._accounts = AccountStore(database.lookups)
        self._desk = desk
        self._validator = validator
        self._clock = clock

    async def run(self, job: LeasedJob) -> None:
        """Validate once and write the result; the job ends or is postponed in the same unit."""
        found = await self._store.authorization_and_its_account(UUID(job.payload["authz"]))
        if found is None:
            await self._database.commit(finish(Unit(), job))
            return
        account, authz = found
        challenge = authz.challenge(job.payload["type"])
        if challenge is None or authz.status != "pending" or account.status != "valid":
            await self._database.commit(finish(Unit(), job))
            return
        label = job.payload.get("label", "")
        if self._validator is None:
            raise ValueError("nobody is here to validate")
        result = await self._validator.validate(await self.question(account, authz, challenge, label))
        await self.write(job, authz, challenge, result, label=label)

    async def question(
        self, account: Account, authz: Authorization, challenge: StoredChallenge, label: str
    ) -> Challenge:
        """What is asked of a validator. ``label``: of dns-account-01."""
        directory = self._directories.get(account.directory) or Directory(account.directory, ())
        thumbprints: tuple[str, ...] = ()
        if challenge.type == DNS_PERSIST_01:
            thumbprints = (account.thumbprint, *await self._accounts.former_thumbprints(account.id))
        return Challenge(
            challenge.type,
            authz.identifier,
            challenge.token,
            f"{challenge.token}.{self._keys.stored(account.jwk).thumbprint}",
            account_uri=Urls.of(self._base, account.directory).account_uri(account.id),
            label=label,
            issuers=directory.issuers,
            thumbprints=thumbprints,
            plain_uris=directory.plain_uris,
            wildcard=authz.wildcard,
            subdomains=authz.subdomains,
            caa=directory.caa,
            asked_at=self._clock.now().timestamp(),
        )

    async def write(
        self,
        job: LeasedJob | None,
        authz: Authorization,
        challenge: StoredChallenge,
        result: Valid | Invalid,
        *,
        label: str = "",
    ) -> Authorization | None:
        """Write what a validation came to, and end or postpone ``job``; without one, a failure that may pass makes one.

        Returns the authorization as it is now; None if it was decided otherwise meanwhile.
        """
        attempt = 1 if job is None else job.attempts + int(job.payload.get("tried", 0))
        data = {"method": challenge.type}
        if isinstance(result, Valid):
            done = replace_challenge(challenge, status="valid", validated=rfc3339(self._clock.now()), error=None)
            return await self._desk.settle(
                authz,
                done,
                "valid",
                data,
                with_job=lambda unit: self._ended(unit, job, authz, challenge, result),
                proof=result,
                queued=job is not None,
            )
        # The URL in the detail ends in the token, which is nobody's business but the two parties'.
        detail = result.problem.detail.replace(challenge.token, "…") if challenge.token else result.problem.detail
        log.info("validation.failed", authz=str(authz.id), detail=detail, attempt=attempt)
        problem = result.problem.document()
        if result.retryable and attempt < self._attempts and authz.expires > self._clock.now():
            again = self._clock.now() + self._retry_after * 2 ** (attempt - 1)
            waiting = replace_challenge(challenge, status="processing", error=problem)

            def postponed(unit: Unit) -> Unit:
                if job is None:
                    unit = enqueue(unit, validation(authz, challenge.type, again, label=label, tried=attempt))
                else:
                    unit = postpone(unit, job, again)
                return self._noted(unit, authz, challenge, result, "again")

            return await self._desk.settle(authz, waiting, "pending", data, with_job=postponed, queued=job is not None)
        failed = replace_challenge(challenge, status="invalid", error=problem)
        data["reason"] = result.problem.reason.code
        return await self._desk.settle(
            authz,
            failed,
            "invalid",
            data,
            with_job=lambda unit: self._ended(unit, job, authz, challenge, result),
            queued=job is not None,
        )

    def _ended(
        self,
        unit: Unit,
        job: LeasedJob | None,
        authz: Authorization,
        challenge: StoredChallenge,
        result: Valid | Invalid,
    ) -> Unit:
        """End the job. What passed at once is not worth a row: every order would write one."""
        if job is not None:
            unit = finish(unit, job)
        if isinstance(result, Valid) and (job is None or job.attempts + int(job.payload.get("tried", 0)) == 1):
            return unit
        return self._noted(unit, authz, challenge, result, "valid" if isinstance(result, Valid) else "invalid")

    def _noted(
        self, unit: Unit, authz: Authorization, challenge: StoredChallenge, result: Valid | Invalid, outcome: str
    ) -> Unit:
        """Write the try down, for whoever asks why a validation fails."""

        def told(text: str) -> str:
            # The token stays between the two parties, and a stranger's text short.
            return (text.replace(challenge.token, "…") if challenge.token else text)[:300]

        record = [
            {"target": told(one.target), "address": one.address, "result": told(one.result)}
            for one in result.record[:50]
        ]
        failed = result.problem if isinstance(result, Invalid) else None
        return unit.write(
            ADD_ATTEMPT,
            new_id(),
            authz.id,
            authz.account_id,
            authz.name,
            challenge.type,
            outcome,
            failed.reason.code if failed else "",
            told(failed.detail) if failed else "",
            msgspec.json.encode(record).decode(),
            self._clock.now(),
        )
