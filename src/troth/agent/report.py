"""How the agent stands, as a person, a program and node_exporter read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec
from cryptography.hazmat.primitives import hashes

from troth.agent.keeper import Look
from troth.agent.settings import CertificateSettings
from troth.agent.staples import Staple
from troth.agent.state import Trouble

State = Literal["good", "absent", "failing", "ending", "ended", "held"]


class StapleReport(msgspec.Struct, frozen=True):
    """Of an OCSP staple."""

    status: str
    until: datetime | None
    failures: int
    trouble: Trouble | None


class CertificateReport(msgspec.Struct, frozen=True):
    """Of one certificate.

    Attributes:
        state: ``good``; ``absent``, never obtained; ``failing``, the last try failed and there is time; ``ending``,
            it fails and the end is near; ``ended``; ``held``, a person rolled back.
        phase: of the attempt on its way; empty if there is none.
    """

    name: str
    names: tuple[str, ...]
    state: State
    generation: int
    serial: str
    sha256: str
    not_before: datetime | None
    not_after: datetime | None
    renew_at: datetime | None
    why: str
    phase: str
    failures: int
    next_try: datetime | None
    trouble: Trouble | None
    staple: StapleReport | None


class AgentReport(msgspec.Struct, frozen=True):
    """Of the whole agent. ``running`` is False where only its directory was read."""

    version: str
    running: bool
    certificates: tuple[CertificateReport, ...]
    services: Mapping[str, Mapping[str, object]]


def report(
    name: str, settings: CertificateSettings, look: Look, staple: Staple | None, now: datetime, warn_days: int
) -> CertificateReport:
    """What is to be said of one certificate."""
    leaf, record = look.leaf, look.record
    return CertificateReport(
        name=name,
        names=settings.names,
        state=_state(look, now, warn_days),
        generation=look.meta.number if look.meta else 0,
        serial=f"{leaf.serial_number:x}" if leaf else "",
        sha256=leaf.fingerprint(hashes.SHA256()).hex() if leaf else "",
        not_before=leaf.not_valid_before_utc if leaf else None,
        not_after=leaf.not_valid_after_utc if leaf else None,
        renew_at=look.renew_at,
        why=look.why,
        phase=look.attempt.phase if look.attempt else "",
        failures=record.failures,
        next_try=record.not_before,
        trouble=record.trouble,
        staple=StapleReport(staple.status, staple.until, staple.failures, staple.trouble) if staple else None,
    )


def _state(look: Look, now: datetime, warn_days: int) -> State:
    if look.leaf is None:
        return "absent"
    left = look.leaf.not_valid_after_utc - now
    if left.total_seconds() <= 0:
        return "ended"
    if look.record.held:
        return "held"
    if look.record.failures == 0:
        return "good"
    # Of a certificate that lives for hours, days are no measure.
    whole = (look.leaf.not_valid_after_utc - look.leaf.not_valid_before_utc) / 4
    return "ending" if left.total_seconds() < min(warn_days * 86400.0, whole.total_seconds()) else "failing"


def metrics(certificates: Iterable[CertificateReport], now: datetime) -> str:
    """The text that node_exporter's textfile collector reads."""
    found = tuple(certificates)
    lines: list[str] = []

    def gauge(name: str, about: str, values: Iterable[tuple[str, float | None]]) -> None:
        told = [
            f'troth_agent_{name}{{certificate="{label}"}} {value:.0f}' for label, value in values if value is not None
        ]
        if told:
            lines.extend((f"# HELP troth_agent_{name} {about}", f"# TYPE troth_agent_{name} gauge", *told))

    gauge("certificate_not_after_seconds", "When the certificate in use ends.",
          ((one.name, _seconds(one.not_after)) for one in found))  # fmt: skip
    gauge("certificate_renew_at_seconds", "When it will be renewed.",
          ((one.name, _seconds(one.renew_at)) for one in found))  # fmt: skip
    gauge("certificate_generation", "Its number; 0 if there is none.", ((one.name, one.generation) for one in found))
    gauge("certificate_failures", "Failures in a row.", ((one.name, one.failures) for one in found))
    gauge("staple_until_seconds", "When its OCSP staple ends.",
          ((one.name, _seconds(one.staple.until)) for one in found if one.staple))  # fmt: skip
    gauge("staple_failures", "Failures in a row to get a newer staple.",
          ((one.name, one.staple.failures) for one in found if one.staple))  # fmt: skip
    lines += ["# HELP troth_agent_seen_seconds When the agent wrote this.", "# TYPE troth_agent_seen_seconds gauge",
              f"troth_agent_seen_seconds {now.timestamp():.0f}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
