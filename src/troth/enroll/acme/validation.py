"""Validations as jobs: the worker claims them, holds the challenge against the network and writes the result.

A failure that may pass (nothing listens yet, DNS has not spread) leaves the challenge in ``processing`` with its
``error`` shown, and is tried again until the tries are used up (RFC 8555 erratum 5732).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import msgspec

from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.enroll.acme.authorizations import replace_challenge
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.model import Authorization
from troth.enroll.acme.model import Challenge as StoredChallenge
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.urls import Urls
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.views import rfc3339
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.store.jobs import LeasedJob, finish, postpone
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("acme")


class ValidationJobs:
    """Handler of ``acme.validate`` jobs."""

    def __init__(
        self,
        database: Database,
        desk: OrderDesk,
        validator: Validating,
        clock: Clock,
        directories: Mapping[str, Directory],
        *,
        base: str = "",
        attempts: int = 4,
        retry_after: timedelta = timedelta(seconds=2),
    ) -> None:
        """``retry_after`` is the pause before the second try; it doubles until ``attempts`` are used up.

        ``base`` is the public URL, which accounts are named by in zones.
        """
        self._directories = directories
        self._base = base
        self._attempts = attempts
        self._retry_after = retry_after
        self._keys = AccountKeys()
        self._database = database
        self._store = AcmeStore(database.lookups)
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
        directory = self._directories.get(account.directory) or Directory(account.directory, ())
        result = await self._validator.validate(
            Challenge(
                challenge.type,
                authz.identifier,
                challenge.token,
                f"{challenge.token}.{self._keys.stored(account.jwk).thumbprint}",
                account_uri=Urls.of(self._base, account.directory).account_uri(account.id),
                label=job.payload.get("label", ""),
                issuers=directory.issuers,
                wildcard=authz.wildcard,
                subdomains=authz.subdomains,
                caa=directory.caa,
                asked_at=self._clock.now().timestamp(),
            )
        )
        await self._write(job, authz, challenge, result)

    async def _write(
        self, job: LeasedJob, authz: Authorization, challenge: StoredChallenge, result: Valid | Invalid
    ) -> None:
        data = {"method": challenge.type}
        if isinstance(result, Valid):
            done = replace_challenge(challenge, status="valid", validated=rfc3339(self._clock.now()), error=None)
            await self._desk.settle(
                authz,
                done,
                "valid",
                data,
                with_job=lambda unit: self._ended(unit, job, authz, challenge, result),
                proof=result,
            )
            return
        # The URL in the detail ends in the token, which is nobody's business but the two parties'.
        detail = result.problem.detail.replace(challenge.token, "…") if challenge.token else result.problem.detail
        log.info("validation.failed", authz=str(authz.id), detail=detail, attempt=job.attempts)
        problem = result.problem.document()
        if result.retryable and job.attempts < self._attempts and authz.expires > self._clock.now():
            again = self._clock.now() + self._retry_after * 2 ** (job.attempts - 1)
            waiting = replace_challenge(challenge, status="processing", error=problem)
            await self._desk.settle(
                authz,
                waiting,
                "pending",
                data,
                with_job=lambda unit: self._noted(postpone(unit, job, again), authz, challenge, result, "again"),
            )
            return
        failed = replace_challenge(challenge, status="invalid", error=problem)
        data["reason"] = result.problem.reason.code
        await self._desk.settle(
            authz, failed, "invalid", data, with_job=lambda unit: self._ended(unit, job, authz, challenge, result)
        )

    def _ended(
        self,
        unit: Unit,
        job: LeasedJob,
        authz: Authorization,
        challenge: StoredChallenge,
        result: Valid | Invalid,
    ) -> Unit:
        """End the job. What passed at once is not worth a row: every order would write one."""
        unit = finish(unit, job)
        if isinstance(result, Valid) and job.attempts == 1:
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
