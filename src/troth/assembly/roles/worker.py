"""The worker: what has to be done in the whole installation, each duty safe to be tried by several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeAlias

from troth.assembly.acme import validation_jobs, validator_of
from troth.assembly.attesting import attestation_duties
from troth.assembly.backing import backup_duties
from troth.assembly.connecting import connecting_of
from troth.assembly.context import RoleContext
from troth.assembly.dynamic import dynamic_of
from troth.assembly.effects import effect_duties
from troth.assembly.errors import AssemblyError
from troth.assembly.hierarchy import ensure_documents
from troth.assembly.identity import ServiceIdentity
from troth.assembly.journals import drain_of
from troth.assembly.listeners import open_unix
from troth.assembly.mint import Mint, mint_of
from troth.assembly.notary import notary_of
from troth.assembly.people import access_of
from troth.assembly.radius_duties import certificate_duty, ensure_trial, fetch_lists
from troth.assembly.roles.common import database_of
from troth.assembly.shared_signals import shared_signal_duties
from troth.assembly.transmitting import transmitter_duties
from troth.assembly.vantages import vantage_duties
from troth.audit.checkpoints import Checkpointer
from troth.audit.lull import Lull
from troth.audit.sequencer import Sequencer
from troth.audit.store import LedgerStore
from troth.enroll.acme.blocked import BlockedAccounts
from troth.enroll.acme.closing import REVOKE_JOB as CLOSE_JOB
from troth.enroll.acme.closing import Closer
from troth.enroll.acme.incidents import SPREAD_JOB, Incidents
from troth.enroll.acme.limit_store import LimitStore
from troth.enroll.acme.orders import VALIDATE_JOB
from troth.enroll.acme.prune import Pruner
from troth.enroll.acme.validate.beside import answer_on
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.est.prune import EstPruner
from troth.enroll.tokens.prune import TokenPruner
from troth.enroll.workload.jwt_keys import JwtRotation
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.kit.waiting import until_set
from troth.pki.auditor import Auditor
from troth.pki.blocked import HOLDERS_JOB, REVOKE_JOB, KeyRevoker
from troth.pki.bulk import REVOKE_MANY_JOB, BulkRevocations
from troth.pki.burn import Burner
from troth.pki.crl import CrlPublisher
from troth.pki.responder import Responders
from troth.pki.sampling import LintSampler
from troth.radius.admission.keeping import ConversationPartitions
from troth.status.publisher import CrlDuty
from troth.store.lease import Instance
from troth.store.pool import Database
from troth.store.runner import Handler, JobRunner
from troth.trust.enforcement.alarming import FeedAlarms
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.mending import Mender
from troth.trust.enforcement.reevaluation import REEVALUATE_JOB, Reevaluation
from troth.trust.enforcement.settling import Settler
from troth.trust.enforcement.status_following import StatusFollower
from troth.trust.enforcement.status_judging import StatusJudge
from troth.trust.feeds.health import FeedWatch
from troth.trust.intake.desk import SignalDesk
from troth.trust.intake.inbox import Inbox, InboxWorker
from troth.trust.intake.retention import Retention
from troth.trust.intake.unresolved import UnresolvedDesk
from troth.trust.policy.store import PolicyStore
from troth.trust.standings.assessor import SETTLE_JOB

log = get_logger("assembly")

#: Duties that only what happens brings about are looked after this rarely while nothing does; about so many statements.
_QUIET = Rhythm("duties.quiet", 60.0, "worker", statements=30)
#: Where a feed has a cadence its silence is noticed within so much; where none has, there is nothing to notice.
_FEEDS = Rhythm("feeds.watch", 1.0, "worker", statements=0)

Duty: TypeAlias = Coroutine[Any, Any, None]


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    async with database_of(context) as (database, instance), mint_of(context, database, instance) as mint:
        sequencer = asyncio.create_task(Sequencer(database, context.clock, instance.id).run(context.stop))
        async with Lull(_QUIET, database).noticed(context.stop) as lull, asyncio.TaskGroup() as tasks:
            duties = await _duties(context, database, instance, mint, lull)
            tasks.create_task(_ended_early(sequencer, context.stop))
            for duty in duties:
                tasks.create_task(duty)
            context.ready()


async def _duties(context: RoleContext, database: Database, instance: Instance, mint: Mint, lull: Lull) -> list[Duty]:
    clock, stop = context.clock, context.stop
    responders = Responders(database, mint.own_gate, mint.signer, mint.catalogue, clock)
    identity = ServiceIdentity(
        database, mint.own_gate, mint.catalogue, context.layout.server_identity, context.state, clock
    )
    crls = CrlPublisher(
        database,
        mint.signer,
        mint.catalogue,
        mint.clocks,
        clock,
        lifetime=timedelta(seconds=context.config.crl.validity_seconds),
    )
    crl_duty = CrlDuty(database, clock, instance.id, crls, context.config.crl, catalogue=mint.catalogue)
    unresolved = UnresolvedDesk(database, clock)
    burner = Burner(database, clock)

    radius_certificate = certificate_duty(context, database, mint, identity)

    async def own_certificates() -> None:
        # In turn with the listeners': both are bound to the same workload, which the first of them makes.
        await asyncio.gather(responders.ensure_all(), identity.ensure())
        if radius_certificate is not None:
            await radius_certificate()

    # Before anybody asks: the listeners need a certificate, OCSP a responder, relying parties a CRL.
    await ensure_documents(database, mint.catalogue, clock)
    await mint.policies.refresh()
    await access_of(database, clock, context.state).invitations.ensure_bootstrap(context.layout.admin_token)
    await own_certificates()
    await ensure_trial(context, database)
    await crl_duty.ensure()
    notary, key = await notary_of(mint.signer, clock)
    decisions = PolicyStore(database)
    auditor = Auditor(database, mint.catalogue, clock, decisions.known_decisions)
    # Longer than a validation can take, so that no two workers do one at once; a dead worker's are taken up after it.
    # First it is looked from here, then from all vantage points at once.
    lease = timedelta(seconds=2 * context.config.acme.timeout_seconds + 5)
    keep_orders = timedelta(days=context.config.acme.keep_orders_days)
    keep_tokens = timedelta(days=context.config.tokens.keep_days)
    keep_repeats = timedelta(seconds=context.config.est.repeat_seconds)
    rotation = JwtRotation(database, mint.signer, clock)
    backing = backup_duties(context, database, instance)
    validator = validator_of(context, mint)
    polling, due = shared_signal_duties(context, database, instance.id)
    pushing, sent = transmitter_duties(context, database, instance.id)
    enforcer = Enforcer()
    policy_status = _policy_status(context, database, mint)
    connecting = connecting_of(context, database)
    dynamic = dynamic_of(context, database, instance.id)
    return [
        *backing.duties,
        Checkpointer(LedgerStore(database), notary, key, clock, ceiling=backing.ceiling).run(stop),
        JobRunner(database, clock, {**_jobs(context, database, validator), **dynamic.jobs}, lease=lease).run(stop),
        _beside(context, validator),
        crl_duty.run(stop),
        # An authority that was let issue a moment ago wants a responder soon; what is not due costs one query.
        _every(10.0, own_certificates, stop, "own certificates", lull),
        _every(10.0, Pruner(database, clock, keep=keep_orders).run_once, stop, "pruning of orders", lull),
        _every(10.0, TokenPruner(database, clock, keep=keep_tokens).run_once, stop, "pruning of tokens", lull),
        _every(30.0, EstPruner(database, clock, repeat=keep_repeats).run_once, stop, "pruning of EST requests", lull),
        _every(5.0, rotation.run_once, stop, "keys of tokens", lull),
        _every(2.0, burner.burn_abandoned, stop, "burning", lull),
        _every(60.0, LintSampler(database, clock).run_once, stop, "lint of samples", lull),
        _every(10.0, auditor.run_once, stop, "audit of certificates", lull),
        _every(60.0, _swept(database, clock), stop, "meters", lull),
        *(
            _every(pause, work, stop, name, lull)
            for pause, work, name in (
                *attestation_duties(context, database, mint.catalogue),
                *vantage_duties(context, database),
            )
        ),
        InboxWorker(database, clock, instance.id, SignalDesk(database, clock, enforcer)).run(stop),
        connecting.puller(database, context, instance.id).run(stop),
        _watch_feeds(FeedWatch(database, clock), stop, lull),
        _every(5.0, FeedAlarms(database, clock).run_once, stop, "alarms about feeds", lull),
        _every(3600.0, Inbox(database, clock).forget, stop, "forgetting of refused signals", lull),
        _every(5.0, unresolved.look_again, stop, "another look at who is meant", lull),
        _every(3600.0, unresolved.forget, stop, "forgetting of strangers", lull),
        _every(3600.0, _conversations(context, database).run_once, stop, "days of conversations", lull),
        _every(3600.0, _retention(context, database).run_once, stop, "forgetting of assessments", lull),
        polling,
        *pushing,
        *(_every(pause, work, stop, name, lull) for pause, work, name in (*due, *sent, *dynamic.due)),
        *dynamic.duties,
        drain_of(context, database).run(stop),
        fetch_lists(context, database, lull),
        *effect_duties(context, database, connecting.desk, dynamic.ports, lull),
        StatusFollower(database, clock, policy_status).run(stop),
        _every(60.0, policy_status.run_once, stop, "policies of status", lull),
        _every(60.0, Mender(database, clock, enforcer).run_once, stop, "mending", lull),
        _every(60.0, Settler(database, clock, enforcer).sweep, stop, "looking after standings", lull),
    ]


def _conversations(context: RoleContext, database: Database) -> ConversationPartitions:
    days = context.config.network.keep_conversations_days
    return ConversationPartitions(database, context.clock, timedelta(days=days))


def _retention(context: RoleContext, database: Database) -> Retention:
    days = context.config.signals.keep_days
    return Retention(database, context.clock, timedelta(days=days) if days else None)


def _policy_status(context: RoleContext, database: Database, mint: Mint) -> StatusJudge:
    settings = context.config.policy
    return StatusJudge(
        database, mint.judge, context.clock, percent=settings.guard_percent, subjects=settings.guard_subjects
    )


def _swept(database: Database, clock: Clock) -> Callable[[], Awaitable[None]]:
    """Forgets meters of limits that are full again."""
    return lambda: LimitStore(database).sweep(clock.now())


async def _beside(context: RoleContext, validator: Validating) -> None:
    """Validate for the web processes of this machine; of several workers on one data directory the last is asked."""
    try:
        listener = open_unix(context.layout.validation_socket)
    except AssemblyError as error:
        # Validations are jobs then: slower, and no less sure.
        log.warning("validation.not_beside", detail=error.detail)
        return
    server = await answer_on(listener, validator)
    try:
        await context.stop.wait()
    finally:
        server.close()


def _jobs(context: RoleContext, database: Database, validator: Validating) -> dict[str, Handler]:
    return {
        VALIDATE_JOB: validation_jobs(context, database, validator=validator).run,
        SPREAD_JOB: Incidents(database, context.clock, most=context.config.acme.renewals_per_minute).run,
        REVOKE_MANY_JOB: BulkRevocations(database, context.clock).run,
        REVOKE_JOB: KeyRevoker(database, context.clock).run,
        HOLDERS_JOB: BlockedAccounts(database).run,
        CLOSE_JOB: Closer(database, context.clock).run,
        REEVALUATE_JOB: Reevaluation(database, context.clock, Enforcer()).run,
        SETTLE_JOB: Settler(database, context.clock, Enforcer()).run,
    }


async def _watch_feeds(watch: FeedWatch, stop: asyncio.Event, lull: Lull) -> None:
    """Silence comes about by the clock alone, where a feed is to be heard from at all."""
    while not stop.is_set():
        await _once(watch.run_once, "watch over feeds")
        if watch.watching:
            await until_set(stop, _FEEDS.pause())
        else:
            await lull.rest(_FEEDS.seconds, stop)


async def _every(
    seconds: float, work: Callable[[], Awaitable[object]], stop: asyncio.Event, name: str, lull: Lull
) -> None:
    """Do ``work`` now and then, while nothing happens rarely; what it raises is told, and tried again next time."""
    while not stop.is_set():
        await lull.rest(seconds, stop)
        if stop.is_set():
            return
        await _once(work, name)


async def _once(work: Callable[[], Awaitable[object]], name: str) -> None:
    try:
        await work()
    except TrothError as error:
        log.warning("duty.postponed", duty=name, code=error.code, detail=error.detail)
    except Exception:
        log.exception("duty.failed", duty=name)


async def _ended_early(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Pass on how ``task`` ended; a duty that ends by itself must not leave the others running without it."""
    await task
    if not stop.is_set():
        raise RuntimeError("the sequencer ended by itself")
