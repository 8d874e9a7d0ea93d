"""What is said of connectors, of feeds' health, and of what names nobody: events, states, and what a change tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str]] = {
    "connector.applied": "Connector {connector}: {change}",
    "connector.secret_changed": "Changed the {secret} of the connector {connector}",
    "connector.paused": "Paused the connector {connector}{note}",
    "connector.resumed": "Let the connector {connector} go on{note}",
    "connector.reread": "Had the connector {connector} read everything again",
    "connector.removed": "Removed the connector {connector}",
    "feed.late": "The feed {feed} is late: nothing was heard since {heard_at}",
    "feed.stale": "The feed {feed} has fallen silent: nothing was heard since {heard_at}",
    "feed.dead": "The feed {feed} is dead: nothing was heard since {heard_at}",
    "feed.heard": "The feed {feed} is heard from again",
    "alias.bound": "{system} {value} is {name}; {signals} signals taken again",
    "signal.set_aside": "Set aside a signal about somebody unknown{note}",
    "signal.retried": "Had a refused signal taken again",
}

#: Tone, symbol and word of states, kind by kind.
LOOKS: Final[Mapping[str, Mapping[str, tuple[str, str, str]]]] = {
    "connector": {
        "reading": ("good", "circle-check", "at work"),
        "waiting": ("", "hourglass", "waiting"),
        "failing": ("bad", "circle-x", "failing"),
        "incomplete": ("warn", "key-round", "lacks a secret"),
        "paused": ("warn", "circle-pause", "paused"),
    },
    "health": {
        "fresh": ("good", "circle-check", "heard in time"),
        "late": ("warn", "clock", "late"),
        "stale": ("bad", "triangle-alert", "silent"),
        "dead": ("bad", "circle-x", "dead"),
        "unwatched": ("", "circle-dashed", "no cadence"),
    },
    "granted": {
        "yes": ("good", "check", "granted"),
        "no": ("bad", "x", "missing"),
        "unknown": ("", "circle-help", "not known"),
    },
}
DONE: Final[Mapping[str, str]] = {
    "connector_secret": "The secret is kept, sealed. It is used from now on.",
    "connector_pause": "Paused. Nothing that it said is taken back.",
    "connector_resume": "It goes on where it stopped.",
    "connector_reread": "Everything is read again; what was taken is not taken twice.",
    "connector_removed": "The connector and its secrets are gone. What it said stays.",
    "signal_bound": "The name is bound, and what named it is taken again.",
    "signal_aside": "Set aside.",
    "signal_retried": "It is taken again.",
}
