"""Wiring of what stands around ACME's orders: enrolments, limits, pausing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.enroll.acme.admission import Admission
from troth.enroll.acme.limits import Limit, Meters
from troth.enroll.acme.pausing import Patience, Pausing
from troth.enroll.credentials.service import Enrolments
from troth.kit.limit_settings import LimitSettings
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.trust.subjects.store import SubjectStore

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Enrolling:
    """The desks of one process."""

    enrolments: Enrolments
    meters: Meters
    pausing: Pausing
    admission: Admission


def enrolling_of(context: RoleContext, database: Database) -> Enrolling:
    """The desks, wired by the configuration."""
    settings, clock = context.config.limits, context.clock
    path = context.layout.secrets / "enrolments.secret"
    enrolments = Enrolments(database, clock, SecretBox.at(path, purpose="enrolment"))
    meters = Meters(database, clock, limits_of(settings), help_url=settings.help_url)
    pausing = Pausing(
        database, clock, patience_of(settings), SecretBox.at(path, purpose="unpause"), context.state.public_url
    )
    admission = Admission(
        enrolments, meters, pausing, SubjectStore(database.lookups), clock, suffixes=frozenset(settings.domain_suffixes)
    )
    return Enrolling(enrolments=enrolments, meters=meters, pausing=pausing, admission=admission)


def limits_of(settings: LimitSettings) -> dict[str, Limit]:
    """The limits that are on."""
    wanted = {
        "accounts_per_network": Limit("new accounts from this network", settings.accounts_per_network, _HOUR),
        "orders_per_account": Limit("new orders of this account", settings.orders_per_account, _HOUR),
        "orders_per_enrolment": Limit("new orders of this enrolment", settings.orders_per_enrolment, _HOUR),
        "orders_per_domain": Limit("new orders for this domain", settings.orders_per_domain, _DAY, quiet=1),
        "duplicates": Limit("new orders for exactly these names", settings.duplicates, _DAY, quiet=1),
    }
    return {name: limit for name, limit in wanted.items() if settings.enabled and limit.most > 0}


def patience_of(settings: LimitSettings) -> Patience | None:
    """How long clients that fail are borne with; None: for ever."""
    if not settings.enabled:
        return None
    return Patience(
        free=settings.free_failures,
        longest=timedelta(seconds=settings.longest_wait_seconds),
        most=settings.pause_after,
        link_lifetime=timedelta(seconds=settings.unpause_link_seconds),
    )
