"""What an attempt brings before the judge: faults of the certificate itself, and the circumstances."""

from __future__ import annotations

from datetime import datetime

from troth.radius.admission.errors import PROFILE_REFUSED
from troth.radius.admission.model import Attempt, Network, Verdict
from troth.radius.admission.outcome import refused
from troth.radius.admission.records import CertificateRow
from troth.trust.connecting.errors import (
    CERTIFICATE_EXPIRED,
    CERTIFICATE_HELD,
    CERTIFICATE_NOT_YET,
    CERTIFICATE_REVOKED,
)
from troth.trust.decision.question import Given


def fault_of(row: CertificateRow, network: Network, at: datetime) -> Verdict | None:
    """What is wrong with the certificate itself. One that a standing alone holds is not at fault: the table of
    standings says that a quarantined device completes TLS and is quarantined."""
    if row.status == "revoked":
        return refused(CERTIFICATE_REVOKED)
    if row.status == "held" and row.held_beside:
        return refused(CERTIFICATE_HELD)
    now = int(at.timestamp())
    if now >= row.not_after:
        return refused(CERTIFICATE_EXPIRED)
    if now < row.not_before:
        return refused(CERTIFICATE_NOT_YET)
    if row.profile not in network.profiles:
        return refused(PROFILE_REFUSED, f"it was issued as {row.profile}")
    return None


def request_of(attempt: Attempt) -> dict[str, Given]:
    """``request.*``. What a station says of itself (its MAC, its outer identity) is no evidence of anything."""
    return {"protocol": attempt.method}


def nas_of(attempt: Attempt) -> dict[str, Given]:
    """``nas.*``, as far as it is known."""
    said = {
        "identifier": attempt.nas_identifier or attempt.nas.name,
        "address": attempt.nas_address,
        "port_type": attempt.nas_port_type,
        "ssid": attempt.ssid,
        "site": attempt.nas.site,
    }
    return {name: value for name, value in said.items() if value}
