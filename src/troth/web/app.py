"""The admin application, put together: door → Litestar → pages and API. Served on the admin listener and the socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.config.app import AppConfig
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath

from troth import __version__
from troth.access.roles import Permission
from troth.kit.lane import Asgi
from troth.web.api import anchors as api_anchors
from troth.web.api import applications as api_applications
from troth.web.api import approvals as api_approvals
from troth.web.api import approvers as api_approvers
from troth.web.api import attestations as api_attestations
from troth.web.api import authorities as api_authorities
from troth.web.api import ceremonies as api_ceremonies
from troth.web.api import certificates as api_certificates
from troth.web.api import connectors as api_connectors
from troth.web.api import credentials as api_credentials
from troth.web.api import crls as api_crls
from troth.web.api import effects as api_effects
from troth.web.api import enrolments as api_enrolments
from troth.web.api import found as api_found
from troth.web.api import inspecting as api_inspecting
from troth.web.api import keys as api_keys
from troth.web.api import nas as api_nas
from troth.web.api import networks as api_networks
from troth.web.api import places as api_places
from troth.web.api import policies as api_policies
from troth.web.api import profiles as api_profiles
from troth.web.api import radius as api_radius
from troth.web.api import receivers as api_receivers
from troth.web.api import recovery as api_recovery
from troth.web.api import renewals as api_renewals
from troth.web.api import rollovers as api_rollovers
from troth.web.api import sessions as api_sessions
from troth.web.api import shared_signals as api_shared_signals
from troth.web.api import standings as api_standings
from troth.web.api import system as api_system
from troth.web.api import tpms as api_tpms
from troth.web.api import trust as api_trust
from troth.web.api import validations as api_validations
from troth.web.api import ways as api_ways
from troth.web.door import Door
from troth.web.errors import NotFound
from troth.web.guard import needs, public, require_permission
from troth.web.pages import (
    account,
    acting,
    admitting,
    applications,
    approving,
    attesting,
    closing,
    connectors,
    effects,
    enrolments,
    entering,
    found,
    inspecting,
    keys,
    looking,
    nas,
    networks,
    places,
    policies,
    profiles,
    renewals,
    rollovers,
    sessions,
    shared_signals,
    standings,
    stream,
    tpms,
    validations,
    ways,
)  # fmt: skip
from troth.web.problems import on_error
from troth.web.render import Renderer, Req
from troth.web.resuming import Resuming
from troth.web.services import AdminServices
from troth.web.static import Assets

_MAX_BODY = 4 * 1024 * 1024


@get("/livez", opt=public(), include_in_schema=False)
async def livez() -> Response[str]:
    """Whether this process answers."""
    return Response("ok\n", media_type="text/plain")


@get("/static/{address:path}", opt=public(), include_in_schema=False)
async def static_file(request: Req, address: FromPath[str]) -> Response[bytes]:
    """A static file under its hashed name."""
    assets: Assets = request.app.state.assets
    found = assets.get(address.removeprefix("/"))
    if found is None:
        raise NotFound
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(found.body, media_type=found.media_type, headers=headers)


def make_litestar() -> Litestar:
    """The application with neither services nor a door yet: all the routes, which take a third of a second to make."""
    pages: Iterable[Any] = (
        *looking.HANDLERS, *profiles.HANDLERS, *acting.HANDLERS, *entering.HANDLERS, *account.HANDLERS,
        *shared_signals.HANDLERS, *connectors.HANDLERS, *stream.HANDLERS, *found.HANDLERS, *approving.HANDLERS,
        *inspecting.HANDLERS, *keys.HANDLERS,
        *renewals.HANDLERS, *tpms.HANDLERS, *attesting.HANDLERS, *policies.HANDLERS, *effects.HANDLERS,
        *standings.HANDLERS,
        *applications.HANDLERS, *networks.HANDLERS, *places.HANDLERS, *ways.HANDLERS, *sessions.HANDLERS,
        *nas.HANDLERS,
        *rollovers.HANDLERS, *validations.HANDLERS, *enrolments.HANDLERS, *closing.HANDLERS, *admitting.HANDLERS,
    )  # fmt: skip
    api = Router(
        "/api/v1",
        route_handlers=[
            *api_certificates.HANDLERS,
            *api_authorities.HANDLERS,
            *api_anchors.HANDLERS,
            *api_found.HANDLERS,
            *api_ceremonies.HANDLERS,
            *api_renewals.HANDLERS,
            *api_rollovers.HANDLERS,
            *api_profiles.HANDLERS,
            *api_trust.HANDLERS,
            *api_standings.HANDLERS,
            *api_policies.HANDLERS,
            *api_applications.HANDLERS,
            *api_connectors.HANDLERS,
            *api_networks.HANDLERS,
            *api_radius.HANDLERS,
            *api_nas.HANDLERS,
            *api_places.HANDLERS,
            *api_sessions.HANDLERS,
            *api_ways.HANDLERS,
            *api_shared_signals.HANDLERS,
            *api_receivers.HANDLERS,
            *api_effects.HANDLERS,
            *api_tpms.HANDLERS,
            *api_attestations.HANDLERS,
            *api_system.HANDLERS,
            *api_approvals.HANDLERS,
            *api_approvers.HANDLERS,
            *api_credentials.HANDLERS,
            *api_crls.HANDLERS,
            *api_keys.HANDLERS,
            *api_inspecting.HANDLERS,
            *api_recovery.HANDLERS,
            *api_enrolments.HANDLERS,
            *api_validations.HANDLERS,
        ],
    )
    openapi = OpenAPIConfig(
        title="Troth admin API",
        version=__version__,
        description="Errors are problem documents (RFC 9457) with a stable reason `code` and a `fix`. Lists have "
        "keyset cursors: ask again with `cursor` (or `before`) set to the answer's `next`.",
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        openapi_router=Router("/api", route_handlers=[], opt=needs(Permission.STATUS_READ), include_in_schema=False),
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"token": []}],
    )
    return Litestar(
        route_handlers=[livez, static_file, *pages, api],
        guards=[require_permission],
        before_request=_remember_position,
        exception_handlers={Exception: on_error},
        on_startup=[_start],
        on_shutdown=[_stop],
        openapi_config=openapi,
        request_max_body_size=_MAX_BODY,
        logging_config=None,
        on_app_init=[_quiet],
    )


async def _start(app: Litestar) -> None:
    await app.state.services.live.start()
    await app.state.resuming.start()


async def _stop(app: Litestar) -> None:
    await app.state.resuming.stop()
    await app.state.services.live.stop()


async def _remember_position(request: Req) -> None:
    """Note how far the ledger had come before the page reads anything: its live stream begins there, without a gap."""
    request.scope["state"]["since"] = request.app.state.services.live.position


def _quiet(config: AppConfig) -> AppConfig:
    """Errors are logged by our own handler, once, with their correlation id."""
    config.debug = False
    return config


#: Routes that no services stand behind yet.
_ahead: list[Litestar] = []


def prepare() -> None:
    """Make the routes that the next :func:`make_admin_app` takes: the better part of a second of CPU.

    The fork server does it once for all web processes, which share the memory too.
    """
    if not _ahead:
        _ahead.append(make_litestar())


def make_admin_app(services: AdminServices, *, hosts: Iterable[str], litestar: Litestar | None = None) -> Asgi:
    """The dashboard and the admin API as one ASGI application.

    Args:
        services: what it stands on; ``services.live`` is started and stopped with the application's lifespan.
        hosts: host names (no ports) of the admin listener; a request under any other name is refused, but for the
            Unix socket's.
        litestar: an application to stand on these services from now on, and on no others.
    """
    inside, assets = litestar or (_ahead.pop() if _ahead else make_litestar()), Assets()
    inside.state.update(
        services=services, assets=assets, renderer=Renderer(services, assets), resuming=Resuming(services.approvals)
    )
    return Door(inside, services.access, frozenset(hosts), services.owner_uid)  # type: ignore[arg-type]
