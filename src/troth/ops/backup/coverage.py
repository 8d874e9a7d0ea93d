"""How each table comes back after the archive was taken: a word on every table, and a test that none is missing.

Beside each bundle of events lie *images*: the rows those events changed, as they stood when the bundle was shipped.
What an event is about is told by its references, so the rows of large tables are found by reference; small tables are
shipped whole whenever they have changed. A later image takes the place of an earlier one. So nothing is rebuilt by
understanding an event again, and a column added tomorrow is in the image tomorrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ByReference:
    """Rows found by what an event is about.

    Attributes:
        kind: first word of the reference: ``certificate:<id>``.
        column: where that id stands in the table.
        hexadecimal: the id is bytes in hexadecimal, not a UUID.
    """

    kind: str
    column: str
    hexadecimal: bool = False


#: Rows that come back with the events that speak of them.
BY_REFERENCE: Mapping[str, ByReference] = {
    "certificate": ByReference("certificate", "id"),
    "certificate_subject": ByReference("certificate", "certificate_id"),
    "certificate_hold": ByReference("certificate", "certificate_id"),
    "certificate_name": ByReference("certificate", "certificate_id"),
    "subject": ByReference("subject", "id"),
    "subject_name": ByReference("subject", "subject_id"),
    "fact": ByReference("subject", "subject_id"),
    "subject_alias": ByReference("subject", "subject_id"),
    "subject_state": ByReference("subject", "subject_id"),
    "assessment": ByReference("subject", "subject_id"),
    "exemption": ByReference("subject", "subject_id"),
    "hold_cause": ByReference("subject", "subject_id"),
    "staged_action": ByReference("subject", "subject_id"),
    "signal": ByReference("signal", "id"),
    "decision": ByReference("decision", "id"),
    "blocked_key": ByReference("key", "spki_sha256", hexadecimal=True),
    "acme_account": ByReference("account", "id"),
    "enrolment": ByReference("enrolment", "id"),
    "tpm": ByReference("subject", "device_id"),
    "attestation": ByReference("subject", "subject_id"),
    "attested_key": ByReference("subject", "subject_id"),
    "est_certificate": ByReference("certificate", "certificate_id"),
    "token_evidence": ByReference("enrolment", "enrolment_id"),
}

#: Small tables that are shipped whole when they have changed.
WHOLE: tuple[str, ...] = (
    "account",
    "api_token",
    "application",
    "approval",
    "approval_rule",
    "attestation_roots",
    "authority",
    "bulk_revocation",
    "bulk_revocation_item",
    "connector",
    "network",
    "foreign_crl",
    "connector_secret",
    "cross_certificate",
    "directory",
    "effect_secret",
    "enforcement_switch",
    "feed",
    "feed_silence",
    "invitation",
    "nas",
    "nas_secret",
    "network_place",
    "ocsp_responder",
    "passkey",
    "policy_version",
    "profile_version",
    "proposal",
    "proposal_execution",
    "radius_account",
    "radius_address",
    "radius_pool",
    "radius_pool_secret",
    "reaction_document",
    "recovery_fence",
    "renewal_incident",
    "rollover",
    "rollover_attestation",
    "ssf_key",
    "ssf_out_stream",
    "ssf_receiver",
    "ssf_stream",
    "ssf_wide",
    "standing_version",
    "trust_anchor",
)

#: The ledger itself: event by event, from the bundles.
LEDGER: tuple[str, ...] = ("ledger_event", "ledger_subject", "ledger_head", "ledger_checkpoint", "ledger_inbox")

#: What stays as the archive has it, and why nothing is lost by that.
NOT_REBUILT: Mapping[str, str] = {
    "connector_read": "what was read since the archive is read again, and what was taken is not taken twice",
    "feed_alarm": "people are called once more about what is so",
    "feed_health": "feeds are heard from again, or found silent",
    "foreign_crl_source": "documents and certificates name the places again; the lists themselves are in `foreign_crl`",
    "nas_seen": "access servers are seen again, within minutes",
    "signal_inbox": "what lies there is acted on; what came later is read again by its connector, or sent again",
    "signal_unresolved": "the ledger tells of each; what is said of them again is kept again",
    "ssf_count": "counters, for metrics",
    "ssf_out_count": "counters, for metrics",
    "ssf_out_token": "what a change of standing has told since is not told again; receivers ask for the present",
    "ssf_event": "a token that comes again says what was taken before; its signals are passed over",
    "stranger": "reported again with the next look",
    "attestation_seen": "a statement answers the challenge of an authorization, and those are made anew",
    "attestation_status": "the makers' lists are fetched again",
    "found_certificate": "the hosts' agents report it again",
    "host_report": "the hosts' agents report it again",
    "sighting": "the hosts' agents report it again",
    "token_used": "a platform's token lives for minutes",
    "acme_order": "a client whose order is gone makes a new one; its certificate is in `certificate`",
    "acme_attempt": "why validations failed; the orders they belong to are made anew",
    "acme_replacement": "what an order replaced; a client whose order is gone may replace the same certificate again",
    "renewal_incident_item": "turns of early renewals: the incident is begun anew where it still matters",
    "acme_authz": "proofs of control are made anew",
    "acme_refusal": "counters, for metrics",
    "acme_meter": "limits are refilled within hours by themselves",
    "acme_failing": "clients that never succeed are paused again when they go on",
    "approval_turn": "a lock without content",
    "application_count": "counters, for pages and metrics",
    "est_count": "counters, for metrics",
    "est_request": "a client that asks again for what it was given is given another certificate",
    "effect": "what was planned since is in the ledger; its targets may have been told, and are not told again",
    "effect_latency": "counters, for metrics",
    "radius_conversation": "timelines of the last days; what was decided, and whom it let in, is in the ledger",
    "radius_boot": "access servers boot again; what those boots ended is in the sessions",
    "radius_identity": "the RADIUS server gets another certificate, of the same name, before its last one ends",
    "radius_inbox": "accounting that was answered since the archive is lost; each session's next record tells it all",
    "radius_order": "what was ordered since the archive is in the ledger; sessions are judged anew when they go on",
    "radius_reverse": "orders on their way; a row lives for seconds",
    "radius_session": "who is on the network is told again by accounting; what ended since the archive is lost",
    "radius_session_count": "counters, for pages and metrics",
    "effect_target": "how each answers is learned anew",
    "stream_follower": "followers go on from where the archive has them; who is told a thing again knows it by its id",
    "cap_gate": "a lock without content",
    "cap_mark": "counts of the last hours; caps begin anew, and so leave more room for one window",
    "cap_slot": "counts of the last hours; caps begin anew, and so leave more room for one window",
    "shadow_effect": "what would have been done where nothing was",
    "crl": "numbers come from the ledger's events, bodies are signed anew from `certificate`",
    "crl_issue": "numbers come from the ledger's events, bodies are signed anew from `certificate`",
    "crl_change": "every change is shown again by the first CRL, which is a complete one",
    "crl_shard": "points to nothing until the first CRL, which is a complete one",
    "crl_chunk": "made anew with the first CRL",
    "finding": "found again by the next inspection",
    "inspection": "made again",
    "job": "validations of orders that are made anew; schedules are in the program",
}

#: What is not even in the archive.
LEFT_OUT: Mapping[str, str] = {
    "admin_session": "people log in again",
    "duty_mark": "how long ago a duty did its work is counted from what is done here",
    "instance": "the processes that ran are dead",
    "lease": "duties are taken anew",
    "login_attempt": "blocks end with the machine that was attacked",
    "passkey_challenge": "a challenge lives for minutes",
    "tpm_challenge": "a challenge lives for minutes",
    "schema_migration": "written by the migrations themselves",
    "stream_point": "decision points announce themselves",
}


def unclassified(tables: frozenset[str]) -> frozenset[str]:
    """Tables that nobody has thought about here."""
    return tables - {*BY_REFERENCE, *WHOLE, *LEDGER, *NOT_REBUILT, *LEFT_OUT}
