"""What events of effects and reactions are called; a part of ``words``."""

from __future__ import annotations

from collections.abc import Mapping

#: Kind of status → value → (tone, symbol, word).
LOOKS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "effect": {
        "waiting": ("", "hourglass", "waiting"),
        "done": ("good", "circle-check", "done"),
        "dead": ("bad", "circle-x", "given up"),
        "superseded": ("", "clock", "needed no more"),
        "unavailable": ("", "circle-dashed", "not available here"),
        "dropped": ("", "x", "dropped"),
    },
    "target": {
        "well": ("good", "circle-check", "well"),
        "failing": ("warn", "triangle-alert", "failing"),
        "open": ("bad", "circle-x", "not asked for now"),
        "unavailable": ("", "circle-dashed", "not available here"),
    },
}

SENTENCES: Mapping[str, str] = {
    "effects.planned": "{name} became {to}, so there is to be done: {what}",
    "effect.done": "Done in {latency_ms} ms: {port} at {target}",
    "effect.dead": "Gave up {port} at {target}, tries: {attempts}. {detail}",
    "effect.superseded": "Need not do any more: {port} at {target}",
    "effect.retried": "Set going again: {port} at {target}{note}",
    "effect.dropped": "Dropped: {port} at {target}{note}",
    "effect_target.secret_changed": "Changed the secret of the target {target}",
    "reactions.applied": "Applied the reactions, version {version}",
}
