"""Incidents over the API: certificates that are to be renewed early."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from troth.access.roles import Permission
from troth.enroll.acme.incident_store import Incident
from troth.enroll.acme.incidents import Incidents
from troth.kit.canonical import Json
from troth.web.asking import ask
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of

_TAGS = ["Renewal"]


class RenewEarlyCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Which certificates, all that fit every field given, and how many of them a minute. Times are ISO 8601.

    ``percent`` of ``acme.renewals_per_minute`` may take the place of ``per_minute``.
    """

    per_minute: Annotated[int, Meta(ge=1)] | None = None
    percent: Annotated[int, Meta(ge=1, le=100)] | None = None
    note: Annotated[str, Meta(max_length=500)] = ""
    explanation_url: Annotated[str, Meta(max_length=500)] = ""
    authority: Annotated[str, Meta(max_length=64)] = ""
    profile: Annotated[str, Meta(max_length=64)] = ""
    key_algorithm: Annotated[str, Meta(max_length=32)] = ""
    issued_after: datetime | None = None
    issued_before: datetime | None = None
    serials: Annotated[list[Annotated[str, Meta(max_length=80)]], Meta(max_length=10_000)] = []


class RenewEarly(Struct, frozen=True):
    """What would be asked for (``dry_run``), or the incident that has begun."""

    dry_run: bool
    certificates: int = 0
    lines: tuple[str, ...] = ()
    incident: UUID | None = None


class IncidentView(Struct, frozen=True):
    """One incident. ``due``: how many have had their turn; ``renewed``: how many of them were replaced since."""

    id: UUID
    selector: dict[str, str | list[str]]
    note: str
    explanation_url: str
    per_minute: int
    state: str
    total: int
    due: int
    renewed: int
    last_due: datetime | None
    actor: str
    started_at: datetime
    ended_at: datetime | None


class EndCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Why it ends; it goes to the ledger."""

    note: Annotated[str, Meta(max_length=500)] = ""


async def incident_view(incidents: Incidents, one: Incident) -> IncidentView:
    """An incident with how far it has come."""
    progress = await incidents.progress(one.id)
    return IncidentView(
        one.id, msgspec.json.decode(one.selector), one.note, one.explanation_url, one.per_minute, one.state, one.total,
        progress.due, progress.renewed, progress.last_due, one.actor, one.started_at, one.ended_at,
    )  # fmt: skip


@post("/renewal-incidents", opt=needs(Permission.CERTIFICATE_REVOKE), operation_id="renewEarly", tags=_TAGS,
      status_code=200)  # fmt: skip
async def renew_early(request: Req, data: JSONBody[RenewEarlyCommand], dry_run: FromQuery[bool] = True) -> RenewEarly:
    """Have certificates renewed early. ``dry_run`` (the default) shows how many, and how long it would take."""
    payload: dict[str, Json] = {
        name: value for name, value in msgspec.to_builtins(data).items() if value not in (None, "", [])
    }
    if dry_run:
        preview, _ = await services_of(request).approvals.preview("renewal.early", payload, asker(request))
        return RenewEarly(True, preview.size, preview.lines)
    done = await ask(request, "renewal.early", payload, comment=data.note)
    return msgspec.convert({"dry_run": False} | done, RenewEarly)


@get("/renewal-incidents", opt=needs(Permission.CERTIFICATE_READ), operation_id="listRenewalIncidents", tags=_TAGS)
async def list_incidents(request: Req) -> list[IncidentView]:
    """The latest incidents."""
    incidents = services_of(request).incidents
    return [await incident_view(incidents, one) for one in await incidents.latest()]


@get("/renewal-incidents/{incident:uuid}", opt=needs(Permission.CERTIFICATE_READ), operation_id="getRenewalIncident",
     tags=_TAGS)  # fmt: skip
async def get_incident(request: Req, incident: FromPath[UUID]) -> IncidentView:
    """One incident."""
    incidents = services_of(request).incidents
    return await incident_view(incidents, await incidents.get(incident))


@post("/renewal-incidents/{incident:uuid}/end", opt=needs(Permission.CERTIFICATE_REVOKE),
      operation_id="endRenewalIncident", tags=_TAGS, status_code=200)  # fmt: skip
async def end_incident(request: Req, incident: FromPath[UUID], data: JSONBody[EndCommand]) -> IncidentView:
    """End an incident: whatever was not renewed by then has its usual window again."""
    incidents = services_of(request).incidents
    await incidents.end(incident, actor=asker(request).actor, note=data.note)
    return await incident_view(incidents, await incidents.get(incident))


HANDLERS = (renew_early, list_incidents, get_incident, end_incident)
