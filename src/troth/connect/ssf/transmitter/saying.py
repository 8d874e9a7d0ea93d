"""What a change of standing says to others: CAEP 1.0 events, whom they are about, and Okta's wording of the same.

Which types a standing has told is the standing table's (``trust.standing``); here is only how each is worded. A change
for the better takes back what the stricter standing had said: the risk is lower, the device compliant again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from troth.access.model import ordered_by_people
from troth.connect.ssf.events import CAEP, OKTA
from troth.connect.ssf.transmitter.definitions import ReceiverDefinition
from troth.trust.outbox.model import EffectSubject, Notice
from troth.trust.standing import Standing

_LEVEL: Final = {
    Standing.TRUSTED: "LOW", Standing.RESTRICTED: "MEDIUM", Standing.QUARANTINED: "HIGH", Standing.DISTRUSTED: "HIGH",
}  # fmt: skip


def events_of(
    notice: Notice, certificates: Sequence[bytes], *, at: datetime, actor: str, dialect: str
) -> Iterable[tuple[str, str, dict[str, Any]]]:
    """(what tells it apart within the change, type, claims) of each event. ``certificates``: DER of those that end."""
    before, after = Standing(notice.before), Standing(notice.after)
    common: dict[str, Any] = {
        "event_timestamp": int(at.timestamp()),
        "initiating_entity": _initiator(actor),
        "reason_admin": {"en": _reason(notice)},
    }
    for name in notice.tell:
        if name == "risk-level-change":
            yield name, *_risk(notice, before, after, common, dialect)
        elif name == "device-compliance-change":
            if notice.kind == "device":
                status = "compliant" if notice.relieved else "not-compliant"
                was = "not-compliant" if notice.relieved else "compliant"
                yield name, CAEP + name, common | {"current_status": status, "previous_status": was}
            else:
                # A user or a workload complies with nothing; what is meant is that its risk has changed.
                yield "risk-level-change", *_risk(notice, before, after, common, dialect)
        elif name == "session-revoked" and not notice.relieved:
            yield name, CAEP + name, common
        elif name == "credential-change" and not notice.relieved:
            for der in certificates:
                told = _credential(der, "revoke")
                yield f"{name}:{told['x509_serial']}", CAEP + name, common | told


def certificate_change(der: bytes, change: str, *, at: datetime, actor: str, profile: str) -> dict[str, Any]:
    """Claims of a ``credential-change`` of one certificate (CAEP 1.0, 3.3). ``change``: ``revoke`` or ``create``."""
    return {
        "event_timestamp": int(at.timestamp()),
        "initiating_entity": _initiator(actor),
        "friendly_name": profile,
        **_credential(der, change),
    }


def _credential(der: bytes, change: str) -> dict[str, Any]:
    certificate = x509.load_der_x509_certificate(der)
    return {
        "credential_type": "x509", "change_type": change, "x509_serial": f"{certificate.serial_number:x}",
        "x509_issuer": certificate.issuer.rfc4514_string(),
    }  # fmt: skip


def _initiator(actor: str) -> str:
    return "admin" if ordered_by_people(actor) else "policy"


def _risk(
    notice: Notice, before: Standing, after: Standing, common: Mapping[str, Any], dialect: str
) -> tuple[str, dict[str, Any]]:
    levels = {"current_level": _LEVEL[after], "previous_level": _LEVEL[before]}
    reason = ", ".join(one["cause"] for one in notice.causes[:5]) or "no cause remains"
    if dialect == "okta":
        kind = OKTA + ("device-risk-change" if notice.kind == "device" else "user-risk-change")
        return kind, {**common, **{name: level.lower() for name, level in levels.items()}}
    principal = "DEVICE" if notice.kind == "device" else "USER"
    return CAEP + "risk-level-change", {**common, **levels, "principal": principal, "risk_reason": reason[:200]}


def _reason(notice: Notice) -> str:
    causes = ", ".join(f"{one['feed']}: {one['cause']}" for one in notice.causes[:5])
    words = f"standing went from {notice.before} to {notice.after}"
    return f"{words} ({causes})"[:400] if causes else words


def subject_of(subject: EffectSubject, issuer: str, form: str) -> dict[str, Any] | None:
    """Whom the events are about, as the receiver has it (RFC 9493); None if there is no such name."""
    user = subject if subject.kind == "user" else subject.owner
    address = _address(user) if user is not None else None
    own = {"format": "iss_sub", "iss": issuer, "sub": str(subject.id)}
    if form == "email":
        return None if address is None else {"format": "email", "email": address}
    if form == "iss_sub" or subject.kind != "device":
        return {"format": "email", "email": address} if form == "complex" and address else own
    whole: dict[str, Any] = {"format": "complex", "device": own}
    if user is not None:
        name = {"format": "email", "email": address} if address else {
            "format": "iss_sub", "iss": issuer, "sub": str(user.id),
        }  # fmt: skip
        whole["user"] = name
    return whole


def _address(user: EffectSubject) -> str | None:
    for name in ("email", "upn"):
        value = user.attributes.get(name)
        if isinstance(value, str) and "@" in value:
            return value
    return None


def worded(
    definition: ReceiverDefinition, type: str, event: Mapping[str, Any], subject: Mapping[str, Any]
) -> dict[str, Any]:
    """``event`` as the receiver's dialect has it: Okta's has the subject inside, under its members."""
    if definition.dialect != "okta":
        return dict(event)
    if subject.get("format") == "complex":
        inside: dict[str, Any] = {name: one for name, one in subject.items() if name != "format"}
    else:
        inside = {"device" if "device" in type else "user": dict(subject)}
    return {**event, "subject": inside}
