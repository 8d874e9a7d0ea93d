"""How the dashboard words and marks things: one table for each kind of status, and a sentence for each ledger event.

A status is always a colour, a word and a symbol together; nothing may be told by colour alone (WCAG 1.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from troth.access.approvals.model import Proposal
from troth.audit.event import StreamEvent
from troth.web import (
    application_words,
    connector_words,
    effect_words,
    enrolment_words,
    nas_words,
    session_words,
    ssf_words,
)
from troth.web.approval_views import ApprovalView, ProposalView
from troth.web.looks import LOOKS, Look
from troth.web.views import EventView

BADGE_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "status": ("good", "held", "revoked", "burnt"),
    "standing": ("trusted", "restricted", "quarantined", "distrusted"),
}

STANDING_SENTENCES: Mapping[str, str] = {
    "trusted": "Certificates are issued and good, as policy allows.",
    "restricted": "Certificates are shorter-lived and good; access is restricted.",
    "quarantined": "Certificates are on hold; only the short quarantine profile is issued, so that it can heal.",
    "distrusted": "Certificates are revoked, and none is issued.",
}

REVOCATION_REASONS: Mapping[int, str] = {
    0: "unspecified",
    1: "key compromise",
    3: "affiliation changed",
    4: "superseded",
    5: "cessation of operation",
    9: "privilege withdrawn",
}

_EVENT_LOOKS: tuple[tuple[str, Look], ...] = (
    ("certificate.issued", Look("good", "file-badge", "")),
    ("certificate.held", Look("calm", "circle-pause", "")),
    ("certificate.released", Look("good", "circle-check", "")),
    ("certificate.revoked", Look("bad", "circle-x", "")),
    ("certificate.burnt", Look("bad", "circle-x", "")),
    ("certificate.lint_finding", Look("warn", "triangle-alert", "")),
    ("certificate.audit_finding", Look("warn", "triangle-alert", "")),
    ("key.blocked", Look("bad", "key-round", "")),
    ("key.", Look("", "key-round", "")),
    ("approver.", Look("warn", "fingerprint", "")),
    ("certificate.", Look("", "file-badge", "")),
    ("decision.", Look("", "scale", "")),
    ("exemption.", Look("warn", "shield-alert", "")),
    ("standing.", Look("calm", "shield-alert", "")),
    ("signal.", Look("warn", "radio-tower", "")),
    ("cause.", Look("warn", "shield-alert", "")),
    ("action.", Look("warn", "hand", "")),
    ("approval.executed", Look("good", "circle-check", "")),
    ("approval.", Look("warn", "users", "")),
    ("fact.", Look("", "info", "")),
    ("access.login_failed", Look("bad", "key-round", "")),
    ("access.", Look("", "key-round", "")),
    ("enforcement.", Look("bad", "snowflake", "")),
    ("policy.", Look("", "scale", "")),
    ("connector.", Look("", "radio-tower", "")),
    ("application.", Look("", "server", "")),
    ("network.forged_certificate", Look("bad", "triangle-alert", "")),
    ("network.breaker_opened", Look("bad", "triangle-alert", "")),
    ("network.", Look("", "wifi", "")),
    ("proxy.", Look("", "server", "")),
    ("mab.", Look("warn", "wifi", "")),
    ("pap.", Look("warn", "wifi", "")),
    ("place.", Look("", "wifi", "")),
    ("session.disconnect_refused", Look("bad", "circle-x", "")),
    ("session.reauthorize_refused", Look("bad", "circle-x", "")),
    ("session.", Look("", "wifi", "")),
    ("nas.", Look("", "server", "")),
    ("feed.late", Look("warn", "radio-tower", "")),
    ("feed.stale", Look("bad", "radio-tower", "")),
    ("feed.dead", Look("bad", "radio-tower", "")),
    ("feed.suspended", Look("bad", "radio-tower", "")),
    ("feed.capped", Look("warn", "radio-tower", "")),
    ("feed.", Look("", "radio-tower", "")),
    ("ssf.", Look("warn", "radio-tower", "")),
    ("subject.", Look("", "users", "")),
    ("authority.", Look("", "landmark", "")),
    ("crl.", Look("", "landmark", "")),
)
_PLAIN = Look("", "circle-dot", "")


def badge_look(kind: str, value: str) -> Look:
    """How ``value`` is shown; a value nobody foresaw is shown as it is."""
    return LOOKS[kind].get(value) or Look("", "circle-dashed", value)


def event_look(kind: str) -> Look:
    """Symbol and tone of an event."""
    return next((look for prefix, look in _EVENT_LOOKS if kind.startswith(prefix)), _PLAIN)


def actor_words(actor: str | None) -> str:
    """``admin:alice`` → ``alice``; ``system:gate`` → ``Troth (gate)``; ``feed:edr`` → ``feed edr``."""
    kind, _, name = (actor or "").partition(":")
    return {
        "": "nobody",
        "admin": name,
        "system": f"Troth ({name})",
        "feed": f"feed {name}",
        "acme": f"ACME account {name[:8]}",
        "est": f"EST client ({name.partition(':')[0]} {name.partition(':')[2][:8]})",
        "token": f"API token {name[:8]}",
        "application": f"application {name}",
        "tpm": f"TPM {name[:8]}",
        "local": f"local user {name}",
    }.get(kind, actor or "")


def _because(data: Mapping[str, Any]) -> str:
    cause = str(data.get("cause") or "")
    if cause:
        kind, _, name = cause.partition(":")
        return {
            "standing": ": the standing of its subject",
            "admin": f" for {name}",
            "local": " for a local administrator",
        }.get(kind, f", cause {cause}")
    reason = data.get("reason")
    return f": {REVOCATION_REASONS[reason]}" if isinstance(reason, int) and reason in REVOCATION_REASONS else ""


_OUTCOMES = {"allow": "Allowed", "restrict": "Allowed, restricted", "quarantine": "Quarantine only", "deny": "Denied"}

#: ``{who}``: what the event is about; ``{because}``, ``{note}``, ``{verdict}``: see :func:`sentence`; the rest is the
#: event's own data.
_SENTENCES: Mapping[str, str] = {
    "certificate.reserved": "Reserved a serial number for {who}",
    "certificate.issued": "Issued a certificate for {who}",
    "certificate.held": "Put {who} on hold{because}",
    "certificate.released": "Released {who}: no cause remains",
    "certificate.cause_cleared": "Cleared one cause of {who}; others remain",
    "certificate.revoked": "Revoked {who}{because}",
    "certificate.burnt": "Burnt the serial number of {who}: it will never be signed",
    "backup.made": "Made the backup {name} and read it back",
    "recovery.restored": "Restored a backup of {backup_ledger_size} events, and {replayed} more from tiles",
    "recovery.decided": "Opened the recovery fence, {choice}: {why}",
    "certificate.ordered": "Ordered to {order} {who}{note}",
    "certificate.lint_finding": "Lint found {code} in {who}",
    "certificate.audit_finding": "The audit found {code} in {who}",
    "key.blocked": "Blocked a {reason} key, {spki_sha256}",
    **enrolment_words.SENTENCES,
    **effect_words.SENTENCES,
    **session_words.SENTENCES,
    **ssf_words.SENTENCES,
    **connector_words.SENTENCES,
    **nas_words.SENTENCES,
    **application_words.SENTENCES,
    "proxy.applied": "Pool {pool} of other RADIUS servers: {change}",
    "proxy.secret_changed": "Changed the secret shared with {server} of the pool {pool}",
    "proxy.removed": "Removed the pool {pool} of other RADIUS servers",
    "mab.added": "{address} may join without a certificate: {note}",
    "mab.removed": "{address} may not join without a certificate any more",
    "pap.added": "Account {account} may join with a password: {note}",
    "pap.removed": "Removed the account {account}",
    "place.applied": "Place in the network {place}: {change}",
    "place.removed": "Removed the place in the network {place}",
    "attestation.clone_suspected": "The attested key {key_sha256} came from two devices",
    "attestation.roots_set": "Set the roots for attestations of {format}, version {version}",
    "attestation.status_list": "Took in the status list of {format}, entries: {entries}",
    "decision.made": "{verdict}: a {profile} certificate for {who}",
    "standing.changed": "{who} went from {from} to {to}",
    "standing.mended": "Mended {name}: it stood {from}, its causes ask for {to}",
    "standing.ordered": "Ordered that {who} be {standing}{note}",
    "cause.raised": "{feed} raised {cause} against {who}",
    "cause.strengthened": "{feed} raised {cause} against {who} to {level}",
    "cause.cleared": "{feed} cleared {cause} of {who}",
    "cause.renewed": "{feed} said {cause} of {who} anew",
    "cause.ended": "{cause} of {feed} weighs no more against {who}",
    "signal.unproved": "{feed} reported {kind} about {whom}; such a name clears nothing",
    "standing.applied": "Applied version {version} of the standing rules",
    "standing.reevaluation_begun": "Has everybody evaluated anew",
    "standing.reevaluated": "Evaluated everybody anew: {seen} looked at, {moved} touched, {held_back} held back",
    "exemption.granted": "Exempted {who} from automation until {ends_at}{note}",
    "exemption.used": "Alarm: {who} is exempt, or {feed} would have it {would_be}",
    "exemption.ended": "Ended the exemption of {who}",
    "feed.rollout_changed": "Changed for how many the feed {feed} is in force{note}",
    "action.staged": "Staged for a person: {feed} wants {who} {level}",
    "action.approved": "Approved what {feed} wanted of {who}{note}",
    "action.rejected": "Rejected what {feed} wanted of {who}{note}",
    "action.withdrawn": "{feed} took back what it wanted of {who}",
    "inventory.reported": "The agent of {name} reported {certificates} certificates",
    "signal.accepted": "{feed} reported {kind} about {who}",
    "subject.created": "The {kind} {name} became known through {origin}",
    "subject.changed": "{who} was declared differently",
    "subject.removed": "{who} was removed from the directory",
    "fact.changed": "{source} says of {who}: {name} is {after}",
    "fact.reported": "{source} says of {who} what it had not said before",
    "network.applied": "Applied network {network}: {change}",
    "network.removed": "Removed network {network}",
    "network.crl_taken": "Took the revocation list {number} of {issuer}, with {entries} entries",
    "network.forged_certificate": "A certificate with a good chain that nobody here has issued was shown at {nas}",
    "network.breaker_closed": "Refusals on {network} stand{note}",
    "network.breaker_opened": "{refused} of {asked} on {network} would newly be refused for {reason}; look at it",
    "policy.applied": "Applied policy {policy}, version {version}",
    "profile.applied": "Applied profile {name}, version {version}",
    "feed.applied": "Feed {feed}: {change}",
    "feed.suspended": "Suspended the feed {feed}{note}",
    "feed.capped": "The feed {feed} has reached {cap}: what it asks for beyond is staged",
    "feed.uncapped": "Nothing of the feed {feed} waits any more for {cap}",
    "feed.resumed": "Let the feed {feed} act again{note}",
    "feed.secret_changed": "Changed the secret of the feed {feed}",
    "crl.reserved": "Reserved a number for a CRL of {authority}",
    "crl.published": "Published a CRL of {authority}, entries: {entries}",
    "crl.wanted": "Asked for a CRL of {authority}, shard {shard}",
    "authority.crls_changed": "Cut the CRLs of {slug} into shards: {crl_shards}",
    "ocsp.responder_renewed": "Renewed the OCSP responder of {authority}",
    "radius.identity_renewed": "Renewed the RADIUS server's certificate for {name}",
    "signal.unresolved": "{feed} reported {kind} about somebody unknown: {whom}",
    "subject.alarm": "Alarm: {feed} reported {kind} about {name}, which is protected",
    "ceremony.recorded": "Recorded the ceremony {title}",
    "authority.added": "Added the {kind} authority {name}",
    "enforcement.frozen": "Froze enforcement{note}",
    "enforcement.unfrozen": "Unfroze enforcement",
    "access.login": "Logged in with a {method} from {address}",
    "access.login_failed": "A log-in for {account} failed, from {address}",
    "access.logout": "Logged out",
    "access.principal_created": "Made the account {name} ({role})",
    "access.bootstrap_token_made": "Wrote a set-up token for the first administrator",
    "access.invited": "Invited {name} as {role}",
    "access.token_created": "Made the API token {name} ({role})",
    "access.token_revoked": "Took an API token back",
    "access.session_revoked": "Ended a log-in",
    "access.principal_disabled": "Disabled the account {name}",
    "access.principal_active": "Enabled the account {name}",
    "access.principal_removed": "Removed the account {name} ({role})",
    "access.person_changed": "Said that the account {name} is {person}'s",
    "access.passkey_added": "Added a passkey",
    "access.passkey_removed": "Removed a passkey",
    "access.password_changed": "Changed the password of {name}",
    "approval.proposed": "Proposed: {words}",
    "approval.approved": "Approved, {count} of {needed}: {words}",
    "approval.rejected": "Rejected: {words}{note}",
    "approval.withdrawn": "Withdrew: {words}{note}",
    "approval.expired": "Expired: {words}",
    "approval.failed": "Not done: {words}{note}",
    "approval.executed": "Did what was approved: {words}",
    "approval.not_carried_out": "Approved, and then not done by the signer{note}",
    "approver.added": "Pinned a passkey of {person} in the signer",
    "approver.removed": "Unpinned a passkey from the signer",
    "approver.number_set": "Set how many pinned persons must approve: {needed}",
    "custodian.unsealed": "Unsealed {custodian}",
    "key.ordered": "Ordered an issuing key ({algorithm}) of {custodian}",
    "key.generated": "Made the key {key_id} with {custodian}",
    "key.attached": "Bound the key {key_id} to its authority",
    "approval.rule_changed": "Changed the two-person rule, version {version}",
    "certificate.imported": "Recorded the certificate {serial}, which {authority} had issued elsewhere",
    "trust_anchor.added": "Believes the foreign root {name} from now on",
    "trust_anchor.removed": "Believes the foreign root {name} no more",
    "tpm.registered": "Registered the TPM of {device}, identifier {identifier}",
    "tpm.removed": "Forgot the TPM of {device}",
    "tpm.attested": "The TPM of {device} had an attestation key certified",
    "workload.jwt_issued": "Made a token for {spiffe_id}",
    "workload.jwt_key_made": "Made the key {key_id}, which signs tokens of workloads",
    "authority.crossed": "{issuer} vouches for {authority}, too",
    "rollover.started": "Began the rollover from {outgoing} to {incoming}",
    "rollover.advanced": "The rollover from {outgoing} to {incoming} went from {before} on to {stage}",
    "rollover.attested": "Vouched that {percent} % of trust stores know the root of {incoming}: {reason}",
    "rollover.backed_out": "Backed out of the rollover from {outgoing} to {incoming}: {reason}",
    "renewal.incident_started": "Has certificates renewed early, {per_minute} a minute: {note}",
    "renewal.incident_ended": "Ended an early renewal: {note}",
    "authority.state_changed": "The authority {slug} went from {before} to {state}",
    "certificate.many_ordered": "Ordered the revocation of {certificates} certificates{note}",
    "certificate.many_revoked": "Finished the revocation of {certificates} certificates",
}


def sentence(kind: str, who: str, data: Mapping[str, Any]) -> str:
    """An event in words. ``who``: what it is about, by name.

    An event that has no sentence of its own, or lacks what its sentence needs, is told from its kind.
    """
    said = data.get("note") or data.get("reason")
    extra = {
        "who": who,
        "because": _because(data),
        "note": f": “{said}”" if said else "",
        "verdict": _OUTCOMES.get(str(data.get("outcome")), "Decided"),
        "name": data.get("name") or "somebody",
    }
    try:
        return _SENTENCES[kind].format_map({**data, **extra})
    except KeyError:
        words = kind.replace(".", " ").replace("_", " ")
        told = [str(data[key]) for key in ("name", "subject", "feed", "slug") if data.get(key)]
        return f"{words[:1].upper()}{words[1:]}" + (f": {', '.join(told)}" if told else "")


_PAGES = {
    "certificate": ("certificate", "/certificates/"),
    "subject": ("subject", "/subjects/"),
    "decision": ("why", "/decisions/"),
    "proposal": ("proposal", "/approvals/"),
    "enrolment": ("enrolment", "/enrolments/"),
    "attestation": ("attestation", "/attestations/"),
}


def event_view(event: StreamEvent, names: Mapping[str, str]) -> EventView:
    """A ledger event as pages and API show it. ``names``: what references are called, as far as known."""
    links: list[tuple[str, str]] = []
    for ref in event.subjects:
        kind, _, identifier = ref.partition(":")
        if kind in _PAGES and len(links) < 3:
            title, path = _PAGES[kind]
            links.append((names.get(ref, title) if kind == "subject" else title, path + identifier))
    who = next((names[ref] for ref in event.subjects if ref in names), "")
    serial = str(event.data.get("serial") or "")
    who = who or (f"certificate {serial[:12]}…" if serial else str(event.data.get("name") or "it"))
    return EventView(
        event.index, event.id, event.recorded_at, event.kind, event.actor, event.subjects, dict(event.data),
        sentence(event.kind, who, event.data), tuple(links),
    )  # fmt: skip


def proposal_view(one: Proposal, *, secret: bool) -> ProposalView:
    """A proposal as pages and API show it."""
    return ProposalView(
        id=one.id, kind=one.act.kind, words=one.words, lines=one.lines, size=one.size,
        payload=one.act.payload.decode(), act_hash=one.act_hash.hex(), state_digest=one.state_digest.hex(),
        needed=one.needed, roles=tuple(sorted(role.value for role in one.roles)), comment=one.comment,
        actor=one.actor, person=one.person, proposed_at=one.proposed_at, expires_at=one.expires_at, state=one.state,
        secret=secret, settled_at=one.settled_at, settled_by=one.settled_by, settled_why=one.settled_why,
        approvals=tuple(
            ApprovalView(person=yes.person, actor=yes.actor, comment=yes.comment, at=yes.approved_at,
                         credential=yes.credential_id.hex())
            for yes in one.approvals
        ),
    )  # fmt: skip


def ago(moment: datetime, now: datetime) -> str:
    """``3 minutes ago``, ``in 2 days``: as the script words it in the browser."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    text = duration(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def duration(seconds: float) -> str:
    """``45 seconds``, ``3 hours``, ``90 days`` → ``3 months``: the largest whole unit."""
    for size, unit in ((31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    count = int(seconds)
    return f"{count} second{'s' if count != 1 else ''}"


def absolute(moment: datetime) -> str:
    """``2026-11-23 13:20:05 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def prose(text: str) -> Markup:
    """Text in which code stands between backticks, as reason codes and vendors' notes have it; all of it escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )
