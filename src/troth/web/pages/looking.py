"""Pages that only look: overview, lists and objects."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from troth.access.roles import Permission
from troth.kit.ids import parse_id
from troth.web.books.effects import EffectFilter
from troth.web.books.networks import sought
from troth.web.errors import NotFound
from troth.web.guard import asker, needs
from troth.web.looks import LOOKS
from troth.web.parameters import Index
from troth.web.render import Req, page, services_of
from troth.web.views import CertificateFilter, EventFilter, SubjectFilter

_STATUSES = (
    ("", "Any status"),
    ("good", "Good"),
    ("expiring", "Expiring soon"),
    ("held", "On hold"),
    ("revoked", "Revoked"),
    ("expired", "Expired"),
    ("reserved", "Being signed"),
    ("burnt", "Burnt"),
)
_STANDINGS = (("", "Any standing"), *((name, name.capitalize()) for name in LOOKS["standing"]))
_KINDS = (("", "Any kind"), ("user", "Users"), ("device", "Devices"), ("workload", "Workloads"))
_EVENT_KINDS = (
    ("", "Everything"),
    ("certificate.", "Certificates"),
    ("standing.", "Standing"),
    ("signal.", "Signals"),
    ("decision.", "Decisions"),
    ("cause.", "Causes"),
    ("action.", "Staged actions"),
    ("effect", "Effects elsewhere"),
    ("session.", "Sessions on the network"),
    ("access.", "Log-ins and accounts"),
    ("policy.", "Policies"),
    ("feed.", "Feeds"),
    ("network.", "Networks"),
    ("nas.", "Access servers"),
    ("place.", "Places in the network"),
    ("proxy.", "Other RADIUS servers"),
    ("mab.", "Devices without certificates"),
    ("pap.", "Accounts of networks"),
    ("subject.", "Subjects"),
)
_LIMIT = 50


def link(path: str, **query: Any) -> str:
    """``path`` with the given query, empty values left out."""
    kept = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(kept)}" if kept else path


def one_of(value: str, choices: tuple[tuple[str, str], ...]) -> Any:
    """``value`` if it is among ``choices``, else none: a hand-made URL filters by nothing rather than failing."""
    return value if value in {choice for choice, _ in choices} else ""


@get("/", opt=needs(Permission.STATUS_READ), include_in_schema=False)
async def overview(request: Req) -> Response[str]:
    """What is trusted now, and what has just changed."""
    services = services_of(request)
    by_standing = await services.subjects.counts()
    total = sum(by_standing.values())
    bars, start = [], 0.0
    for name, look in LOOKS["standing"].items():
        width = round(100 * by_standing.get(name, 0) / total, 3) if total else 0.0
        bars.append({"tone": look.tone, "x": round(start, 3), "width": width})
        start += width
    authorities = await services.authorities.list()
    soon = await services.certificates.search(CertificateFilter(status="expiring", limit=5))
    return await page(
        request, "overview.html", area="overview",
        counts=await services.certificates.counts(),
        standings=[(name, by_standing.get(name, 0)) for name in LOOKS["standing"]],
        total=total, bars=bars,
        events=(await services.events.list(EventFilter(limit=12))).items,
        authorities=authorities,
        test_mode=services_of(request).test_mode,
        trial=next((one for one in authorities if one.trial and one.kind == "root"), None),
        expiring=soon.items,
        health=await services.health.check(),
        freeze=await services.enforcement.state(),
    )  # fmt: skip


@get("/certificates", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def certificates(
    request: Req,
    q: FromQuery[str] = "",
    status: FromQuery[str] = "",
    profile: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    """The list, with search."""
    services = services_of(request)
    wanted = CertificateFilter(
        text=q.strip()[:200], status=one_of(status, _STATUSES), profile=profile, cursor=cursor or None, limit=_LIMIT
    )
    found = await services.certificates.search(wanted)
    same = {"q": wanted.text, "status": wanted.status, "profile": profile}
    profiles = sorted({name for policy in await services.configuration.policies() for name in policy.profiles})
    return await page(
        request, "certificates.html", area="certificates", wanted=wanted, page=found, statuses=_STATUSES,
        profiles=profiles, self_url=link("/certificates", **same, cursor=cursor),
        first_url=link("/certificates", **same), next_url=link("/certificates", **same, cursor=found.next),
    )  # fmt: skip


@get("/certificates/{certificate_id:uuid}", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def certificate(request: Req, certificate_id: FromPath[UUID]) -> Response[str]:
    """One certificate."""
    services = services_of(request)
    found = await services.certificates.get(certificate_id)
    if found is None:
        raise NotFound("there is no such certificate")
    actor = asker(request).actor
    return await page(
        request, "certificate.html", area="certificates", certificate=found,
        own_hold=any(hold.cause == actor for hold in found.holds),
        conversations=await services.conversations.list(sought(serial=found.serial), limit=10),
        events=(await services.events.list(EventFilter(ref=f"certificate:{found.id}", limit=30))).items,
    )  # fmt: skip


@get("/subjects", opt=needs(Permission.SUBJECT_READ), include_in_schema=False)
async def subjects(
    request: Req,
    q: FromQuery[str] = "",
    standing: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Response[str]:
    """The list, with search."""
    wanted = SubjectFilter(
        text=q.strip()[:200],
        standing=one_of(standing, _STANDINGS),
        kind=one_of(kind, _KINDS),
        cursor=cursor or None,
        limit=_LIMIT,
    )
    found = await services_of(request).subjects.search(wanted)
    same = {"q": wanted.text, "standing": wanted.standing, "kind": wanted.kind}
    return await page(
        request, "subjects.html", area="subjects", wanted=wanted, page=found, standings=_STANDINGS, kinds=_KINDS,
        self_url=link("/subjects", **same, cursor=cursor), first_url=link("/subjects", **same),
        next_url=link("/subjects", **same, cursor=found.next),
    )  # fmt: skip


@get("/subjects/{subject_id:uuid}", opt=needs(Permission.SUBJECT_READ), include_in_schema=False)
async def subject(request: Req, subject_id: FromPath[UUID]) -> Response[str]:
    """One subject."""
    services = services_of(request)
    found = await services.subjects.get(subject_id)
    if found is None:
        raise NotFound("there is no such subject")
    return await page(
        request, "subject.html", area="subjects", subject=found, tpms=await services.tpms.of_device(subject_id),
        certificates=(await services.certificates.search(CertificateFilter(subject=found.id, limit=20))).items,
        effects=(await services.effects.search(EffectFilter(subject=found.id, limit=20))).items,
        conversations=await services.conversations.list(sought(subject=found.id), limit=10),
        events=(await services.events.list(EventFilter(ref=f"subject:{found.id}", limit=30))).items,
    )  # fmt: skip


@get("/decisions/{decision_id:uuid}", opt=needs(Permission.DECISION_READ), include_in_schema=False)
async def decision(request: Req, decision_id: FromPath[UUID]) -> Response[str]:
    """Why."""
    found = await services_of(request).decisions.get(decision_id)
    if found is None:
        raise NotFound("there is no such decision")
    return await page(request, "decision.html", area="subjects", decision=found)


@get("/events", opt=needs(Permission.EVENT_READ), include_in_schema=False)
async def events(request: Req, kind: FromQuery[str] = "", before: Index = None) -> Response[str]:
    """The ledger as it grows."""
    wanted = EventFilter(kind=one_of(kind, _EVENT_KINDS), before=before, limit=_LIMIT)
    found = await services_of(request).events.list(wanted)
    return await page(
        request,
        "events.html",
        area="events",
        wanted=wanted,
        page=found,
        kinds=_EVENT_KINDS,
        first_url=link("/events", kind=wanted.kind),
        next_url=link("/events", kind=wanted.kind, before=found.next),
    )


@get("/feeds", opt=needs(Permission.FEED_READ), include_in_schema=False)
async def feeds(request: Req) -> Response[str]:
    """Who may say that something is wrong, and by which connectors it is heard."""
    services = services_of(request)
    found, connectors = await services.configuration.feeds(), await services.connectors.list()
    return await page(request, "feeds.html", area="feeds", feeds=found, connectors=connectors)


@get("/policies", opt=needs(Permission.POLICY_READ), include_in_schema=False)
async def policies(request: Req) -> Response[str]:
    """The policies in force."""
    found = await services_of(request).configuration.policies()
    return await page(request, "policies.html", area="policies", policies=found)


@get("/authorities", opt=needs(Permission.AUTHORITY_READ), include_in_schema=False)
async def authorities(request: Req) -> Response[str]:
    """Who signs what."""
    found = await services_of(request).authorities.list()
    return await page(request, "authorities.html", area="authorities", authorities=found)


@get("/authorities/{slug:str}", opt=needs(Permission.AUTHORITY_READ), include_in_schema=False)
async def authority(request: Req, slug: FromPath[str]) -> Response[str]:
    """One authority, whom it certifies, and what happened to it."""
    services = services_of(request)
    found = await services.authorities.list()
    shown = next((one for one in found if one.slug == slug), None)
    if shown is None:
        raise NotFound("there is no such authority")
    return await page(
        request, "authority.html", area="authorities", authority=shown,
        parent=next((one for one in found if one.slug == shown.parent), None),
        children=[one for one in found if one.parent == slug],
        events=(await services.events.list(EventFilter(ref=f"authority:{slug}", limit=20))).items,
    )  # fmt: skip


@get("/ledger", opt=needs(Permission.LEDGER_READ), include_in_schema=False)
async def ledger(request: Req) -> Response[str]:
    """The latest checkpoint, and how to check it."""
    found = await services_of(request).events.checkpoint()
    return await page(request, "ledger.html", area="ledger", checkpoint=found)


@get("/search", opt=needs(Permission.CERTIFICATE_READ), include_in_schema=False)
async def search(request: Req, q: FromQuery[str] = "") -> Redirect:
    """One box for everything: a serial number, an identifier, a device, a name."""
    services, text = services_of(request), q.strip()[:200]
    if not text:
        return Redirect("/certificates", status_code=303)
    certificate_id = await services.certificates.find(text)
    if certificate_id is not None:
        return Redirect(f"/certificates/{certificate_id}", status_code=303)
    if asker(request).may(Permission.SUBJECT_READ):
        subject_id = await services.subjects.find(text)
        if subject_id is not None:
            return Redirect(f"/subjects/{subject_id}", status_code=303)
    identifier = parse_id(text)
    if identifier is not None and await services.decisions.get(identifier) is not None:
        return Redirect(f"/decisions/{identifier}", status_code=303)
    return Redirect(link("/certificates", q=text), status_code=303)


HANDLERS = (
    overview, certificates, certificate, subjects, subject, decision, events, feeds, policies, authorities,
    authority, ledger, search,
)  # fmt: skip
