"""Tone, symbol and word of each status there is, kind by kind. See ``words``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from troth.web import connector_words, effect_words, enrolment_words, nas_words, session_words, ssf_words


@dataclass(frozen=True, slots=True)
class Look:
    """Tone (a CSS class), symbol and word."""

    tone: str
    icon: str
    word: str


_MORE = {
    **enrolment_words.LOOKS,
    **effect_words.LOOKS,
    **ssf_words.LOOKS,
    **connector_words.LOOKS,
    **session_words.LOOKS,
    **nas_words.LOOKS,
}

LOOKS: Mapping[str, Mapping[str, Look]] = {
    **{kind: {one: Look(*look) for one, look in looks.items()} for kind, looks in _MORE.items()},
    "status": {
        "good": Look("good", "circle-check", "good"),
        "held": Look("calm", "circle-pause", "on hold"),
        "revoked": Look("bad", "circle-x", "revoked"),
        "expired": Look("", "clock", "expired"),
        "reserved": Look("", "circle-dashed", "being signed"),
        "burnt": Look("bad", "circle-x", "burnt"),
    },
    "standing": {
        "trusted": Look("good", "shield-check", "trusted"),
        "restricted": Look("warn", "shield-alert", "restricted"),
        "quarantined": Look("calm", "circle-pause", "quarantined"),
        "distrusted": Look("bad", "shield-x", "distrusted"),
    },
    "outcome": {
        "allow": Look("good", "circle-check", "allowed"),
        "restrict": Look("warn", "shield-alert", "restricted"),
        "quarantine": Look("calm", "circle-pause", "quarantined"),
        "deny": Look("bad", "circle-x", "denied"),
    },
    "truth": {
        "true": Look("good", "check", "met"),
        "false": Look("bad", "x", "not met"),
        "unknown": Look("warn", "circle-help", "unknown"),
    },
    "check": {
        "ok": Look("good", "circle-check", "well"),
        "warn": Look("warn", "triangle-alert", "look at this"),
        "fail": Look("bad", "circle-x", "failing"),
    },
    "authority": {
        "planned": Look("", "hourglass", "planned"),
        "active": Look("good", "circle-check", "active"),
        "retiring": Look("warn", "hourglass", "retiring"),
        "retired": Look("", "circle-pause", "retired"),
    },
    "rollover": {
        "trust": Look("", "hourglass", "trust both"),
        "coverage": Look("", "hourglass", "measuring"),
        "issue": Look("good", "circle-check", "issuing from the new one"),
        "drain": Look("warn", "hourglass", "draining"),
        "retired": Look("", "circle-pause", "done, the old one retired"),
        "backed-out": Look("warn", "circle-pause", "backed out"),
    },
    "validation": {
        "valid": Look("good", "circle-check", "passed at last"),
        "again": Look("warn", "hourglass", "to be tried again"),
        "invalid": Look("bad", "circle-x", "failed"),
    },
    "incident": {
        "spreading": Look("", "hourglass", "giving turns"),
        "running": Look("warn", "hourglass", "running"),
        "ended": Look("", "circle-pause", "ended"),
    },
    "crl": {
        "fresh": Look("good", "circle-check", "CRL fresh"),
        "due": Look("warn", "clock", "CRL due"),
        "late": Look("bad", "circle-x", "CRL late"),
        "none": Look("", "circle-dashed", "no CRL"),
    },
    "custodian": {
        "ready": Look("good", "circle-check", "ready"),
        "sealed": Look("warn", "circle-pause", "sealed"),
        "down": Look("bad", "circle-x", "down"),
    },
    "feed": {
        "reporting": Look("good", "circle-check", "reporting"),
        "silent": Look("", "circle-dashed", "silent so far"),
        "suspended": Look("warn", "circle-pause", "suspended"),
    },
    "staged": {
        "waiting": Look("warn", "hand", "waiting"),
        "approved": Look("good", "circle-check", "approved"),
        "rejected": Look("", "x", "rejected"),
        "withdrawn": Look("", "clock", "withdrawn"),
    },
    "proposal": {
        "waiting": Look("warn", "hourglass", "waiting"),
        "approved": Look("calm", "check", "approved, not done yet"),
        "executed": Look("good", "circle-check", "done"),
        "rejected": Look("bad", "x", "rejected"),
        "withdrawn": Look("", "clock", "withdrawn"),
        "expired": Look("", "clock", "expired"),
        "failed": Look("bad", "circle-x", "not done"),
    },
}

#: What a live event may turn a badge into; pages carry a template for each.
