"""How several rulings become one: the rules of strictness, all of them.

A ruling comes from a rule, from a standing, from a feed that is down, and of each subject of a request. Joined, they
are as strict as the strictest of them, whatever their order and however they are grouped: :func:`strictest` is the
join of a semilattice (associative, commutative, idempotent), and a further ruling never makes the result milder.

1. Outcome: the worst.
2. Bounds (``lifetime``, ``session_time``, ``approval``): the shortest of all, whoever named them.
3. ``notify``: everybody that anybody names.
4. Choices (``profile``, ``network``, ``role``, ``vlan``, ``acl``): what the strictest ruling that names one says. A
   place in the network that a milder ruling names does not follow into a quarantine, which is a place of its own.
5. ``say``: only a sentence of the strictest ruling itself; what a milder one says would be untrue.
6. Two equally strict rulings that disagree in a choice: the first by alphabet (of numbers, the lowest). That is
   arbitrary, and so the same everywhere and at every replay.
7. Who is denied has neither lifetime, session, profile nor place.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from troth.trust.model import Obligations, Outcome, Ruling

#: A choice, and how strict the ruling was that made it.
_Choice: TypeAlias = "tuple[Outcome, str] | None"

_PLACES = ("network", "role", "vlan", "acl")
_CHOICES = ("profile", *_PLACES)


@dataclass(frozen=True, slots=True)
class Joined:
    """Rulings joined so far; each choice still knows how strict its maker was, or grouping would matter."""

    outcome: Outcome
    lifetime: timedelta | None
    session_time: timedelta | None
    approval: timedelta | None
    notify: frozenset[str]
    say: _Choice
    choices: tuple[_Choice, ...]

    @classmethod
    def of(cls, ruling: Ruling) -> Joined:
        """One ruling alone."""
        own, outcome = ruling.obligations, ruling.outcome
        return cls(
            outcome,
            own.lifetime,
            own.session_time,
            own.approval,
            frozenset(own.notify),
            _chosen(outcome, own.say),
            tuple(_chosen(outcome, getattr(own, name)) for name in _CHOICES),
        )

    def join(self, other: Joined) -> Joined:
        """Both: associative, commutative, idempotent."""
        return Joined(
            max(self.outcome, other.outcome),
            shortest(self.lifetime, other.lifetime),
            shortest(self.session_time, other.session_time),
            shortest(self.approval, other.approval),
            self.notify | other.notify,
            _stricter(self.say, other.say),
            tuple(_stricter(mine, theirs) for mine, theirs in zip(self.choices, other.choices, strict=True)),
        )

    def ruling(self) -> Ruling:
        """What is left to be kept by a door."""
        notify = tuple(sorted(self.notify))
        said = self.say[1] if self.say is not None and self.say[0] is self.outcome else None
        if self.outcome is Outcome.DENY:
            return Ruling(Outcome.DENY, Obligations(notify=notify, say=said))
        made: dict[str, str] = {}
        for name, choice in zip(_CHOICES, self.choices, strict=True):
            if choice is None or (name in _PLACES and self.outcome is Outcome.QUARANTINE and choice[0] < self.outcome):
                continue
            made[name] = choice[1]
        return Ruling(
            self.outcome,
            Obligations(
                lifetime=self.lifetime, session_time=self.session_time, approval=self.approval, notify=notify,
                say=said, **made,
            ),
        )  # fmt: skip


def strictest(*rulings: Ruling) -> Ruling:
    """All ``rulings`` as one, by the rules above. Raises ValueError for none at all: nothing ruled allows nothing."""
    if not rulings:
        raise ValueError("there is no ruling to join")
    first = rulings[0]
    if len(rulings) == 1 and first.outcome is not Outcome.DENY and len(first.obligations.notify) < 2:
        return first  # nearly every request is about one subject; what joining would tidy up is not there
    joined = Joined.of(first)
    for other in rulings[1:]:
        joined = joined.join(Joined.of(other))
    return joined.ruling()


def milder_yields(overlay: Ruling, ruling: Ruling) -> Ruling:
    """``overlay`` joined with ``ruling``, whose own choices stand where it is as strict as the overlay: what a rule
    says of this case goes before what the policy says of a standing in general."""
    if ruling.outcome is not overlay.outcome:
        return strictest(overlay, ruling)
    own, general = ruling.obligations, overlay.obligations
    kept = {name: getattr(own, name) or getattr(general, name) for name in (*_CHOICES, "say")}
    return strictest(
        ruling,
        Ruling(
            overlay.outcome,
            Obligations(
                lifetime=general.lifetime,
                session_time=general.session_time,
                approval=general.approval,
                notify=general.notify,
                **kept,
            ),
        ),
    )


def shortest(first: timedelta | None, second: timedelta | None) -> timedelta | None:
    """The shorter of two lengths; None is no bound."""
    if first is None or second is None:
        return first if second is None else second
    return min(first, second)


def _chosen(outcome: Outcome, value: str | None) -> _Choice:
    return None if value is None else (outcome, value)


def _stricter(first: _Choice, second: _Choice) -> _Choice:
    if first is None or second is None:
        return second if first is None else first
    if first[0] is not second[0]:
        return max(first, second, key=lambda one: one[0])
    return min(first, second, key=lambda one: (_number(one[1]), one[1]))


def _number(text: str) -> tuple[int, int]:
    """VLANs are compared as the numbers they are; names come after all numbers."""
    return (0, int(text)) if text.isascii() and text.isdecimal() else (1, 0)
