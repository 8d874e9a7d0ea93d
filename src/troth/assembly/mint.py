"""The mint of one process: catalogue, signer and gate, kept fresh by the trust stream."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.assembly.errors import BAD_SITE, AssemblyError
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.place_settings import PlaceSettings
from troth.pki.catalogue import Catalogue
from troth.pki.clockguard import ClockGuard
from troth.pki.fence import FenceInterlock
from troth.pki.gate import Gate
from troth.pki.signer.client import SignerClient
from troth.pki.store import CertificateStore
from troth.store.lease import Instance
from troth.store.pool import Database
from troth.trust.decision.decide import Judge
from troth.trust.feeds.health import FeedHealthBook
from troth.trust.places import Places, Site
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.store import PolicyStore
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.facts import StoredFacts
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects

log = get_logger("assembly")

_PACE_SECONDS = 0.25

#: First words of the events after which the catalogue, or the policies, must be read again.
_CATALOGUED, _POLICIES = frozenset({"profile", "authority"}), frozenset({"policy"})
_ROOMS = _CATALOGUED | _POLICIES


@dataclass(frozen=True, kw_only=True)
class Mint:
    """What issuing takes, wired once per process.

    Attributes:
        interlock: what must hold before anything is issued: the clocks, and the recovery fence.
        own_gate: for Troth's own responders and listeners, which a closed fence does not stop.
    """

    catalogue: Catalogue
    signer: SignerClient
    clocks: ClockGuard
    interlock: FenceInterlock
    gate: Gate
    own_gate: Gate
    certificates: CertificateStore
    policies: PolicyCache
    judge: Judge
    subjects: Subjects


def places_of(settings: PlaceSettings) -> Places:
    """The sites of the configuration. Raises AssemblyError for a network that is none."""
    sites = []
    for name, one in settings.sites.items():
        try:
            networks = tuple(ipaddress.ip_network(network) for network in one.networks)
        except ValueError as error:
            raise AssemblyError(BAD_SITE, f"places.sites.{name}: {error}") from error
        sites.append(Site(name, one.country, networks, one.nas))
    return Places(sites)


def judge_of(context: RoleContext, database: Database, policies: PolicyCache) -> Judge:
    """The judge of one process, with every source of facts that is kept here."""
    return Judge(
        policies,
        [StoredFacts(SubjectStore(database.lookups)), SignalFacts(database.lookups, context.clock)],
        context.clock,
        feeds=FeedHealthBook(database, context.clock),
        places=places_of(context.config.places),
    )


@contextlib.asynccontextmanager
async def mint_of(context: RoleContext, database: Database, instance: Instance) -> AsyncIterator[Mint]:
    """The mint for a role, for as long as the block runs."""
    # The place in the log first: what is applied while the copies are made is then still to be followed.
    start = (await LedgerStore(database).head()).size
    catalogue = Catalogue(database, context.clock)
    await catalogue.refresh()
    policies = PolicyCache(PolicyStore(database))
    await policies.refresh()
    skew = timedelta(seconds=context.config.audit.max_clock_skew_seconds)
    clocks = ClockGuard(database, context.clock, max_skew=skew)
    interlock = FenceInterlock(clocks, database, context.clock)
    subject_store = SubjectStore(database.lookups)
    async with SignerClient(context.signer_socket, context.role, context.layout.secrets) as signer:
        mint = Mint(
            catalogue=catalogue,
            signer=signer,
            clocks=clocks,
            interlock=interlock,
            gate=Gate(database, signer, catalogue, interlock, context.clock, instance=instance.id),
            own_gate=Gate(database, signer, catalogue, clocks, context.clock, instance=instance.id),
            certificates=CertificateStore(database.lookups),
            policies=policies,
            judge=judge_of(context, database, policies),
            subjects=Subjects(subject_store),
        )
        following = asyncio.create_task(_follow(context, database, mint, start))
        try:
            yield mint
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def _follow(context: RoleContext, database: Database, mint: Mint, start: int) -> None:
    """Take up applied profiles, policies and authorities as the stream tells of them.

    What cannot be read just then is tried again at once and again: a process must not go on deciding by what is not in
    force any more.
    """
    stale: set[str] = set()
    async for batch in Stream(database, context.clock).follow(start, asyncio.Event(), lambda: _ROOMS):
        stale |= {event.kind.partition(".")[0] for event in batch.events} & _ROOMS
        while stale:
            await _take_up(mint, stale)
        # Documents change rarely and everything else is passed over: events are gathered, not met one by one.
        await asyncio.sleep(_PACE_SECONDS)


async def _take_up(mint: Mint, stale: set[str]) -> None:
    """Read anew what ``stale`` names, and empty it; after a failure return in a moment."""
    try:
        if stale & _CATALOGUED:
            await mint.catalogue.refresh()
            stale -= _CATALOGUED
        if stale & _POLICIES:
            await mint.policies.refresh()
            stale -= _POLICIES
        return
    except TrothError as error:
        log.warning("mint.refresh_failed", error=str(error))
    except Exception:
        log.exception("mint.refresh_failed")
    await asyncio.sleep(_PACE_SECONDS)
