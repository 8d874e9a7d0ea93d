"""Policies and snapshots for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from troth.trust.authoring.service import shipped
from troth.trust.model import FeedState, Kind, Moment, Seen, Snapshot, SubjectRef
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.standing import Standing

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
DECISION = UUID("01a00000-0000-7000-8000-000000000001")
SUBJECT = UUID("01a00000-0000-7000-8000-000000000002")


def client_device() -> Policy:
    return parse_policy(shipped()["client-device"], file="client-device.yaml", version=3)


def tls_server() -> Policy:
    return parse_policy(shipped()["tls-server"], file="tls-server.yaml", version=1)


def rules(body: str, *, head: str = "") -> Policy:
    """A policy ``p`` for the profile ``p`` with these rules (YAML of the list)."""
    return parse_policy(f"policy: p\nprofiles: [p]\n{head}\nrules:\n{body}", version=1)


def taken(
    values: dict[str, Any],
    *,
    moment: Moment = Moment.ISSUE,
    standing: Standing = Standing.TRUSTED,
    age: timedelta = timedelta(minutes=5),
    source: str = "mdm",
    feeds: tuple[FeedState, ...] = (),
    asked: str = "p",
) -> Snapshot:
    """A snapshot of these values, all said by ``source``, ``age`` ago."""
    return Snapshot(
        DECISION,
        AT,
        moment,
        asked,
        SubjectRef(SUBJECT, Kind.DEVICE, "laptop-1", standing, 4),
        values=tuple(Seen(path, value, source, AT - age) for path, value in sorted(values.items())),
        feeds=feeds,
    )


HEALTHY = {"user.enabled": True, "posture.compliant": True, "risk.score": 10}
