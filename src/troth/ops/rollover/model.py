"""Rollovers, what is seen of them, and what each stage asks for before the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from troth.pki.authorities import Authority

Stage: TypeAlias = Literal["trust", "coverage", "issue", "drain", "retired", "backed-out"]
NEXT: Mapping[Stage, Stage] = {"trust": "coverage", "coverage": "issue", "issue": "drain", "drain": "retired"}
#: Stages that nothing leaves.
ENDED: frozenset[Stage] = frozenset({"retired", "backed-out"})


@dataclass(frozen=True, slots=True)
class Rollover:
    """One row. See ``0013_rollover.sql``."""

    id: UUID
    outgoing: str
    incoming: str
    stage: Stage
    threshold: int
    drain_days: int
    started_at: datetime
    changed_at: datetime
    renew_by: datetime | None
    actor: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How many of something are known to trust the new root. None of nothing is not all: it is unknown."""

    name: str
    covered: int
    total: int

    @property
    def percent(self) -> int | None:
        """Rounded down; None while there is nothing to be measured."""
        return None if self.total == 0 else self.covered * 100 // self.total


@dataclass(frozen=True, slots=True)
class Attestation:
    """What a person vouches for."""

    percent: int
    reason: str
    actor: str
    attested_at: datetime


@dataclass(frozen=True, slots=True)
class Alive:
    """Certificates of one profile that the old authority has issued and that have neither expired nor been revoked."""

    profile: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that a gate needs. ``seen`` says what there is."""

    needs: str
    seen: str
    met: bool


@dataclass(frozen=True)
class Situation:
    """All that a gate looks at.

    Attributes:
        roots: slugs of the roots that the outgoing and the incoming authority lead to.
        crossed: the incoming root's key is certified by the outgoing root, or the incoming authority's is.
        issued: whether the incoming authority has issued anything (its responders aside).
        crl, responder: whether the incoming authority has published a CRL, and has a responder in force.
        alive: of the outgoing authority.
    """

    rollover: Rollover
    outgoing: Authority
    incoming: Authority
    roots: tuple[str, str]
    crossed: bool
    measures: tuple[Measure, ...]
    attestation: Attestation | None
    issued: bool
    crl: bool
    responder: bool
    alive: tuple[Alive, ...]
    now: datetime

    @property
    def gate(self) -> tuple[Condition, ...]:
        """What the next stage needs; nothing when the rollover has ended."""
        found = {"trust": _published, "coverage": _covered, "issue": _issues, "drain": _drained}
        judge = found.get(self.rollover.stage)
        return () if judge is None else judge(self)

    @property
    def open(self) -> bool:
        """Whether every condition is met."""
        return all(one.met for one in self.gate)


def _published(at: Situation) -> tuple[Condition, ...]:
    new, same = at.incoming, at.roots[0] == at.roots[1]
    ready = new.state in ("planned", "active") and new.key_id is not None
    return (
        Condition("the new authority is planned or active, and its key is here", f"it is {new.state}", ready),
        Condition(
            "its certificate lasts longer than the old one's",
            f"until {new.not_after:%Y-%m-%d}, the old one until {at.outgoing.not_after:%Y-%m-%d}",
            new.not_after > at.outgoing.not_after,
        ),
        Condition(
            "its certificate can be fetched",
            new.ca_issuers_url or "it has no address",
            new.ca_issuers_url is not None,
        ),
        Condition(
            "who trusts the old root can follow to the new one",
            "both have one root" if same else "there is a cross-certificate" if at.crossed else "no cross-certificate",
            same or at.crossed,
        ),
    )


def _covered(at: Situation) -> tuple[Condition, ...]:
    least = at.rollover.threshold
    if at.roots[0] == at.roots[1]:
        return (Condition("trust stores know the new root", "it is the root that they know", True),)
    found = [
        Condition(
            f"at least {least} % of {one.name} trust the new root",
            f"{one.covered} of {one.total}, {one.percent} %",
            (one.percent or 0) >= least,
        )
        for one in at.measures
        if one.percent is not None
    ]
    told = at.attestation
    if not found or told is not None:
        # Unknown is not good: where nothing reports, somebody must vouch for it.
        found.append(
            Condition(
                f"a person vouches for at least {least} %",
                "nobody does" if told is None else f"{told.actor}: {told.percent} %, {told.reason}",
                told is not None and told.percent >= least,
            )
        )
    return tuple(found)


def _issues(at: Situation) -> tuple[Condition, ...]:
    return (
        Condition("the new authority is active", f"it is {at.incoming.state}", at.incoming.state == "active"),
        Condition("it has issued a certificate", "it has" if at.issued else "none yet", at.issued),
        Condition("its CRL is published", "it is" if at.crl else "not yet", at.crl),
        Condition("its OCSP responder is in force", "it is" if at.responder else "not yet", at.responder),
    )


def _drained(at: Situation) -> tuple[Condition, ...]:
    left = sum(one.count for one in at.alive)
    until = max((one.last for one in at.alive), default=None)
    seen = f"{left}, the last one until {until:%Y-%m-%d}" if until is not None else "none"
    return (Condition("no live certificate of the old authority is left", seen, left == 0),)
