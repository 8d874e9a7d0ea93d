"""What is said of access servers: events, states, and what a change tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str]] = {
    "nas.applied": "Access server {nas}: {change}",
    "nas.secret_set": "Set the secret of the access server {nas} ({secret})",
    "nas.rotation_begun": "Began to replace the secret of the access server {nas}",
    "nas.rotation_finished": "Replaced the secret of the access server {nas}; {behind} addresses had the former one",
    "nas.rotation_abandoned": "Gave up replacing the secret of the access server {nas}",
    "nas.signs": "The access server {nas} was seen to sign its requests, and must from now on",
    "nas.retired": "Retired the access server {nas}{note}",
    "nas.removed": "Removed the access server {nas}",
}

#: Tone, symbol and word of states.
LOOKS: Final[Mapping[str, Mapping[str, tuple[str, str, str]]]] = {
    "nas": {
        "asking": ("good", "circle-check", "asking"),
        "silent": ("", "hourglass", "not heard yet"),
        "rotating": ("warn", "key-round", "new secret"),
        "incomplete": ("warn", "key-round", "lacks a secret"),
        "retired": ("", "circle-pause", "retired"),
    }
}

DONE: Final[Mapping[str, str]] = {
    "nas_finish": "The new secret counts alone now.",
    "nas_abandon": "The new secret is forgotten; the present one stays.",
    "nas_retired": "It is answered no longer, and its secrets are gone.",
    "nas_removed": "The access server is gone.",
}
