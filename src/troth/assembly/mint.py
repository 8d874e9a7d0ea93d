"""The mint of one process: catalogue, signer and gate, kept fresh by the trust stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from troth.assembly.context import RoleContext
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.pki.catalogue import Catalogue
from troth.pki.clockguard import ClockGuard
from troth.pki.gate import Gate
from troth.pki.signer.client import SignerClient
from troth.pki.store import CertificateStore
from troth.store.lease import Instance
from troth.store.pool import Database
from troth.trust.decide import Judge
from troth.trust.facts import StoredFacts
from troth.trust.policy_cache import PolicyCache
from troth.trust.policy_store import PolicyStore
from troth.trust.store import SubjectStore
from troth.trust.subjects import Subjects

log = get_logger("assembly")


@dataclass(frozen=True, kw_only=True)
class Mint:
    """What issuing takes, wired once per process."""

    catalogue: Catalogue
    signer: SignerClient
    clocks: ClockGuard
    gate: Gate
    certificates: CertificateStore
    policies: PolicyCache
    judge: Judge
    subjects: Subjects


@contextlib.asynccontextmanager
async def mint_of(context: RoleContext, database: Database, instance: Instance) -> AsyncIterator[Mint]:
    """The mint for a role, for as long as the block runs."""
    catalogue = Catalogue(database, context.clock)
    await catalogue.refresh()
    policies = PolicyCache(PolicyStore(database))
    await policies.refresh()
    clocks = ClockGuard(database, context.clock)
    subject_store = SubjectStore(database)
    async with SignerClient(context.layout.signer_socket, context.role, context.layout.secrets) as signer:
        mint = Mint(
            catalogue=catalogue,
            signer=signer,
            clocks=clocks,
            gate=Gate(database, signer, catalogue, clocks, context.clock, instance=instance.id),
            certificates=CertificateStore(database),
            policies=policies,
            judge=Judge(policies, [StoredFacts(subject_store)], context.clock),
            subjects=Subjects(subject_store),
        )
        following = asyncio.create_task(_follow(context, database, mint))
        try:
            yield mint
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def _follow(context: RoleContext, database: Database, mint: Mint) -> None:
    """Take up applied profiles, policies and authorities as the stream tells of them."""
    start = (await LedgerStore(database).head()).size
    stop = asyncio.Event()
    async for batch in Stream(database, context.clock).follow(start, stop):
        kinds = {event.kind for event in batch.events}
        try:
            if any(kind.startswith(("profile.", "authority.")) for kind in kinds):
                await mint.catalogue.refresh()
            if any(kind.startswith("policy.") for kind in kinds):
                await mint.policies.refresh()
        except TrothError as error:
            log.warning("mint.refresh_failed", error=str(error))
