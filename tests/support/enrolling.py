"""Enrolments, limits and pausing for a door of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from troth.enroll.acme.admission import Admission
from troth.enroll.acme.limits import Limit, Meters
from troth.enroll.acme.pausing import Patience, Pausing
from troth.enroll.credentials.service import Enrolments
from troth.kit.clock import Clock
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.trust.subjects.store import SubjectStore

KEY = b"k" * 32


@dataclass
class EnrollingDesks:
    """What stands around the orders of a test's door."""

    enrolments: Enrolments
    meters: Meters
    pausing: Pausing
    admission: Admission


def enrolling_for(
    database: Database,
    clock: Clock,
    *,
    limits: Mapping[str, Limit] | None = None,
    patience: Patience | None = None,
    base: str = "https://acme.test:8443",
) -> EnrollingDesks:
    """The desks; without ``limits`` and ``patience`` nothing is limited and nobody is paused."""
    enrolments = Enrolments(database, clock, SecretBox(KEY, purpose="enrolment"))
    meters = Meters(database, clock, limits or {})
    pausing = Pausing(database, clock, patience, SecretBox(KEY, purpose="unpause"), base)
    admission = Admission(enrolments, meters, pausing, SubjectStore(database), clock)
    return EnrollingDesks(enrolments, meters, pausing, admission)
