"""Pages out of templates. Autoescaping is on for everything; a name that a template misspells is an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from litestar import Request, Response
from litestar.enums import MediaType

from troth.access.model import Principal
from troth.access.roles import Permission
from troth.web import connector_words, nas_words, ssf_words, words
from troth.web.authority_views import AuthorityView
from troth.web.guard import principal_of
from troth.web.health import RecoveryView
from troth.web.services import AdminServices
from troth.web.static import Assets
from troth.web.views import CertificateRow, EventView

Req: TypeAlias = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Area:
    """One entry of the navigation."""

    area: str
    title: str
    path: str
    icon: str


NAVIGATION = (
    Area("overview", "Overview", "/", "layout-dashboard"),
    Area("certificates", "Certificates", "/certificates", "file-badge"),
    Area("subjects", "Subjects", "/subjects", "users"),
    Area("events", "Events", "/events", "activity"),
    Area("staged", "Staged actions", "/staged", "hand"),
    Area("approvals", "Approvals", "/approvals", "fingerprint"),
    Area("enforcement", "Enforcement", "/enforcement", "shield-alert"),
    Area("feeds", "Feeds", "/feeds", "radio-tower"),
    Area("applications", "Applications", "/applications", "server"),
    Area("network", "Network", "/network/networks", "wifi"),
    Area("connections", "Connections", "/network/connections", "activity"),
    Area("sessions", "Sessions", "/network/sessions", "wifi"),
    Area("profiles", "Profiles", "/profiles", "pencil-line"),
    Area("policies", "Policies", "/policies", "scale"),
    Area("enrolments", "Enrolments", "/enrolments", "key-round"),
    Area("authorities", "Authorities", "/authorities", "landmark"),
    Area("ledger", "Ledger", "/ledger", "book-lock"),
)

#: What a page says after the redirect that follows a change. The query names an entry, so nothing can be injected.
DONE: Mapping[str, str] = {
    "held": "The certificate is on hold. OCSP says so within a second.",
    "released": "Your cause is cleared; the certificate is good again unless another cause remains.",
    "applied": "Applied. It is in force within a second.",
    "application_removed": "The application is taken off; its token is worth nothing any more.",
    "blocked": "The key is blocked, and what has it is being revoked.",
    "revoked": "The certificate is revoked for good.",
    "approved": "Approved, and done.",
    "rejected": "Rejected. Nothing was changed.",
    "tpm_registered": "The TPM is registered: the attestation CA certifies keys of it from now on.",
    "tpm_removed": "The TPM is forgotten: no key of it is certified any more.",
    "enrolment_revoked": "The enrolment has ended, and the accounts that it opened are closed.",
    "acme_closed": "The account is closed.",
    "unpaused": "Its paused names are set going again.",
    "effect_retry": "It is tried again now.",
    "session_disconnect": "The access server is asked to disconnect it.",
    "session_reauthorize": "The access server is asked to have it judged anew.",
    "session_order_approve": "It is done next.",
    "session_order_drop": "It is dropped.",
    "effect_drop": "Given up. Nothing more is sent.",
    "frozen": "Enforcement is frozen: automation changes nothing until you unfreeze it.",
    "unfrozen": "Enforcement goes on.",
    "ended": "That log-in has ended.",
    "token_revoked": "The token is taken back.",
    "disabled": "The account is disabled; its log-ins and tokens have ended.",
    "enabled": "The account is enabled.",
    "account_removed": "The account is removed.",
    "person_set": "Whose account it is has been changed.",
    "taken": "Taken in. The ledger has it.",
    "proposed": "Proposed. Nothing is done until the others have approved it here, each with a passkey.",
    "counted": "Your approval is counted.",
    "withdrawn": "Withdrawn. Nothing was changed.",
    "passkey_added": "The passkey is added.",
    "passkey_removed": "The passkey is removed; your other log-ins have ended.",
    "password_set": "The password is set; your other log-ins have ended.",
    **ssf_words.DONE,
    **connector_words.DONE,
    "network_removed": "The network is gone. Whoever joins it is refused.",
    "network_breaker": "Refusals stand from now on, for a day.",
    **nas_words.DONE,
    "place_removed": "The place is gone. Nobody is put there any more.",
}


def services_of(request: Req) -> AdminServices:
    """The services that assembly handed in."""
    found: AdminServices = request.app.state.services
    return found


def status_word(row: CertificateRow, now: datetime) -> str:
    """The one word for a certificate's state: reserved, burnt, revoked, held, expired or good."""
    if row.state != "issued":
        return row.state if row.status != "revoked" else "revoked"
    if row.status == "good" and row.not_after <= now:
        return "expired"
    return row.status


def crl_state(authority: AuthorityView, now: datetime) -> str:
    """Whether an authority's CRL is fresh, due within a tenth of its life, late, or not there."""
    if authority.crl_next_update is None or authority.crl_this_update is None:
        return "none"
    if now >= authority.crl_next_update:
        return "late"
    life = authority.crl_next_update - authority.crl_this_update
    return "due" if authority.crl_next_update - now < life / 10 else "fresh"


def held(authority: AuthorityView) -> str:
    """Who holds an authority's key, in words."""
    if authority.custodian is None:
        return "its custodian is not known while the signer does not answer"
    words = {"offline": "not on this installation (offline)", "software": "in the signer, encrypted on disk"}
    return words.get(authority.custodian, f"in {authority.custodian}")


def agent_words(agent: str) -> str:
    """A user agent in two words."""
    browsers = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    browser = next((name for mark, name in browsers if mark in agent), "Browser")
    system = next((name for mark, name in systems if mark in agent), "")
    return f"{browser} on {system}" if system else browser


def value_words(value: object) -> str:
    """A fact's value as a person reads it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


class Renderer:
    """The template environment, bound to the services' clock and the static files."""

    def __init__(self, services: AdminServices, assets: Assets) -> None:
        now = services.clock.now
        self._services = services
        self._environment = environment = Environment(
            loader=PackageLoader("troth.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "ago": lambda moment: words.ago(moment, now()),
            "iso": lambda moment: moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "absolute": words.absolute,
            "day": lambda moment: moment.astimezone(UTC).strftime("%Y-%m-%d"),
            "number": lambda number: f"{number:,}".replace(",", "\u202f"),
            "duration": words.duration,
            "actor": words.actor_words,
            "agent": agent_words,
            "value": value_words,
            "prose": words.prose,
            "capfirst": lambda text: text[:1].upper() + text[1:],
            "status_word": lambda row: status_word(row, now()),
            "held": held,
            "crl_state": lambda authority: crl_state(authority, now()),
            "kind_icon": lambda kind: {"user": "user-round", "device": "laptop"}.get(kind, "server"),
            "revocation": lambda reason: words.REVOCATION_REASONS.get(reason or 0, f"reason {reason}"),
            "standing_sentence": lambda standing: words.STANDING_SENTENCES.get(standing, ""),
            "outcome_word": lambda outcome: words.badge_look("outcome", outcome).word,
        }
        environment.globals |= {
            "asset": assets.url,
            "badge_look": words.badge_look,
            "event_look": words.event_look,
            "badge_templates": words.BADGE_TEMPLATES,
            "navigation": NAVIGATION,
            "may": _may,
        }
        self._event_row = environment.from_string(
            '{% from "_macros.html" import event_row with context %}{{ event_row(event) }}'
        )

    def event_row(self, event: EventView) -> str:
        """One row of the live list."""
        return self._event_row.render(event=event).strip()

    async def page(
        self, request: Req, template: str, *, area: str = "", status: int = 200, **context: Any
    ) -> Response[str]:
        """A whole page for whoever asks."""
        me = principal_of(request)
        counts = await self.waiting(me) if me is not None else {}
        fence = None if me is None else await self._services.recovery.state()
        return self.plain_page(request, template, area=area, status=status, waiting=counts, fence=fence, **context)

    async def waiting(self, me: Principal) -> dict[str, int]:
        """How much waits for a person, by area of the navigation."""
        found: dict[str, int] = {}
        if me.may(Permission.STAGED_READ):
            found["staged"] = len(await self._services.staged.list())
        if me.may(Permission.APPROVAL_READ):
            found["approvals"] = await self._services.approvals.waiting()
        return found

    def plain_page(
        self,
        request: Req,
        template: str,
        *,
        area: str = "",
        status: int = 200,
        waiting: Mapping[str, int] | None = None,
        fence: RecoveryView | None = None,
        **context: Any,
    ) -> Response[str]:
        """A page that asks no service: for errors, which must show even when the database does not answer."""
        done = DONE.get(request.query_params.get("done", ""))
        html = self._environment.get_template(template).render(
            me=principal_of(request),
            area=area,
            waiting=waiting or {},
            fence=fence,
            done=done,
            since=request.scope["state"].get("since", 0),
            **context,
        )
        return Response(html, media_type=MediaType.HTML, status_code=status)


@pass_context
def _may(context: Context, permission: str) -> bool:
    """Whether the reader of this page has ``permission``: what he may not do is not offered."""
    me = context.get("me")
    return me is not None and me.may(Permission(permission))


def renderer_of(request: Req) -> Renderer:
    """The renderer that the application was made with."""
    found: Renderer = request.app.state.renderer
    return found


async def page(request: Req, template: str, *, area: str = "", status: int = 200, **context: Any) -> Response[str]:
    """Shorthand for :meth:`Renderer.page`."""
    return await renderer_of(request).page(request, template, area=area, status=status, **context)
