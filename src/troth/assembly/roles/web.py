"""Web: ACME and signals on the https listener, people on the admin listener and on the Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import timedelta

from troth.assembly.acme import acme_door
from troth.assembly.admin import admin_app
from troth.assembly.authz import Authz, authz_of
from troth.assembly.connecting import Connecting, connecting_of
from troth.assembly.context import RoleContext
from troth.assembly.enrolling import Enrolling, enrolling_of
from troth.assembly.errors import NOT_PREPARED, AssemblyError
from troth.assembly.est import Admitting, est_door
from troth.assembly.mint import Mint, mint_of
from troth.assembly.roles.common import LIVEZ, database_of, internal_error
from troth.assembly.shared_signals import SharedSignals, shared_signals_of
from troth.assembly.tokens import token_routes
from troth.assembly.tpm import tpm_door
from troth.assembly.trust import Trust, trust_of
from troth.assembly.workload import node_desk, report_door, workload_door
from troth.connect.webhook.routes import WebhookDoor
from troth.enroll.acme.unpause import UnpauseDoor
from troth.enroll.compromise import CompromiseDoor
from troth.enroll.est.tally import Tally
from troth.enroll.issuance import Issuance
from troth.kit.lane import Asgi, Lane, Request, Response, plain_refusal
from troth.kit.log import get_logger
from troth.pki.blocked import BlockedKeys
from troth.store.pool import Database
from troth.web.server import Listening, serve
from troth.web.tls import ServerTls

log = get_logger("assembly")

_LOOK_SECONDS = 2.0
#: Longer than a busy machine takes for a first start, and less than the supervisor waits for a process.
_IDENTITY_SECONDS = 90.0


async def run(context: RoleContext) -> None:
    """Serve until told to stop."""
    tls = await _identity(context)
    # Only the doors for machines ask for a certificate: a browser would ask the person in front of it.
    public_tls = ServerTls(context.layout.server_identity, asks=context.config.est.enabled)
    async with contextlib.AsyncExitStack() as stack:
        database, instance = await stack.enter_async_context(database_of(context))
        mint = await stack.enter_async_context(mint_of(context, database, instance))
        trust = trust_of(context, database)
        issuance = Issuance(database, mint.subjects, mint.judge, mint.gate, mint.catalogue)
        enrolling = enrolling_of(context, database)
        stack.push_async_callback(enrolling.meters.close)
        connecting = connecting_of(context, database)
        stack.push_async_callback(connecting.door.close)
        shared = shared_signals_of(context, database)
        authz = await stack.enter_async_context(authz_of(context, database, mint))
        admin = await admin_app(context, database, mint, trust, issuance, enrolling, connecting, shared, authz)
        tally = Tally(database)
        stack.push_async_callback(tally.close)
        public = _public(context, database, mint, trust, issuance, enrolling, shared, tally, connecting, authz)
        admitting = Admitting(public_tls, mint.catalogue, database)
        await admitting.look()
        listenings = [
            Listening(app=public, sockets=context.sockets["https"], tls=public_tls),
            Listening(app=admin, sockets=context.sockets["admin"], tls=tls, lifespan=True),
            Listening(app=admin, sockets=context.sockets["admin_socket"]),
        ]
        following = [asyncio.create_task(_follow(one)) for one in (tls, public_tls)]
        following.append(asyncio.create_task(admitting.run()))
        try:
            await serve(listenings, stop=context.stop, ready=context.ready)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


def _public(
    context: RoleContext,
    database: Database,
    mint: Mint,
    trust: Trust,
    issuance: Issuance,
    enrolling: Enrolling,
    shared: SharedSignals,
    tally: Tally,
    connecting: Connecting,
    authz: Authz,
) -> Asgi:
    """The https listener: the doors whose messages authenticate themselves."""
    acme = acme_door(context, database, mint, issuance, enrolling)
    tolerance = timedelta(seconds=context.config.signals.tolerance_seconds)
    webhook = WebhookDoor(trust.feeds, trust.signals, context.clock, tolerance=tolerance)

    nodes = node_desk(context, database)
    workload = workload_door(context, database, mint, issuance, nodes)
    reports = report_door(context, database, nodes)
    tpm = tpm_door(context, database, issuance)
    est = est_door(context, database, mint, issuance, enrolling, tally)
    compromise = CompromiseDoor(BlockedKeys(database, context.clock), context.clock)

    def refusal(request: Request, status: int, detail: str) -> Response:
        speaks_acme = request.path.startswith("/acme/")
        return (acme.refusal if speaks_acme else plain_refusal)(request, status, detail)

    async def on_error(request: Request, error: Exception) -> Response:
        if request.path.startswith("/acme/"):
            return acme.failed(request, error)
        return await internal_error(request, error)

    return Lane(
        [
            *UnpauseDoor(enrolling.pausing).routes(),
            *acme.routes(),
            *webhook.routes(),
            *shared.door.routes(),
            *shared.sending.routes(context, database),
            *connecting.door.routes(),
            *authz.routes,
            *workload.routes(),
            *reports.routes(),
            *tpm.routes(),
            *(est.routes() if est is not None else ()),
            *token_routes(context, database, enrolling.enrolments),
            *compromise.routes(),
            LIVEZ,
        ],
        on_error=on_error,
        refusal=refusal,
    )


async def _identity(context: RoleContext) -> ServerTls:
    """The listeners' certificate; at a first start the worker is just having it issued."""
    deadline = context.clock.monotonic() + _IDENTITY_SECONDS
    while True:
        try:
            return ServerTls(context.layout.server_identity)
        except FileNotFoundError as error:
            if context.stop.is_set() or context.clock.monotonic() > deadline:
                raise AssemblyError(NOT_PREPARED, f"{error.filename} does not exist") from error
            await asyncio.sleep(0.05)


async def _follow(tls: ServerTls) -> None:
    """Take up the listener's renewed certificate when its file has changed."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if tls.reload():
                log.info("tls.reloaded")
        except (OSError, ssl.SSLError) as error:
            log.error("tls.reload_failed", error=str(error))
