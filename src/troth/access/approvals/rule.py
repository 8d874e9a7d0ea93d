"""The rule: which kinds of act need how many approvals, of persons in which roles.

A document in YAML, versioned, changed only under itself::

    approvals:
      expires_hours: 72
      rules:
        - kinds: [role.*, account.*]
          approvals: 2
          roles: [administrator, approver]
        - kinds: [certificate.revoke_many]
          approvals: 1
          above: 10

The first entry that names the kind governs; what no entry names asks for nothing. Some acts could be used to walk
around the rule (to make oneself a second person, say); they ask for at least as much as the strictest entry does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from troth.access.approvals.demand import NOTHING, Demand
from troth.access.approvals.errors import RULE_INVALID, ApprovalRefused
from troth.access.roles import ROLES, Permission, Role
from troth.kit.strict_yaml import YamlRefused, load_yaml

DEFAULT_EXPIRY = timedelta(hours=72)
#: With these one could make more persons, or change what is asked: they are never easier than the strictest entry.
GUARDIANS = frozenset({"rule.change", "role.grant", "person.change", "account.enable"})
#: Kinds that take another person even where there is no rule; each says in its preview how many.
ALWAYS = frozenset({"exemption.grant"})
_MAX_TEXT = 65_536
_DECIDERS = frozenset(role for role, may in ROLES.items() if Permission.APPROVAL_DECIDE in may)

REGULATED = """\
# Two other persons for everything dangerous.
approvals:
  expires_hours: 72
  rules:
    - {kinds: [staged.approve], approvals: 2, above: 10}
    - {kinds: [certificate.revoke_many], approvals: 2, above: 1}
    - {kinds: [directory.apply], approvals: 0}
    - {kinds: ["*"], approvals: 2}
"""
OPEN = """\
# Nobody is asked.
approvals:
  rules: []
"""
PRESETS = {"regulated": REGULATED, "open": OPEN}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry under ``rules:``.

    Attributes:
        kinds: kinds of act; ``role.*`` is a whole class, ``*`` is everything.
        approvals: how many distinct persons besides the proposer.
        roles: whose approval counts.
        above: ask only if the act hits more things than this.
    """

    kinds: tuple[str, ...]
    approvals: Annotated[int, msgspec.Meta(ge=0, le=9)]
    roles: tuple[Role, ...] = (Role.ADMINISTRATOR, Role.APPROVER)
    above: Annotated[int, msgspec.Meta(ge=0)] = 0

    def names(self, kind: str) -> bool:
        """Whether this entry is about ``kind``."""
        return any(one in ("*", kind) or (one.endswith(".*") and kind.startswith(one[:-1])) for one in self.kinds)


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: tuple[Entry, ...]
    expires_hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 31)] = 72


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approvals: _Body


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it is in force."""

    entries: tuple[Entry, ...] = ()
    expiry: timedelta = DEFAULT_EXPIRY
    version: int = 0
    document: str = OPEN

    def demand(self, kind: str, size: int = 1) -> Demand:
        """What ``kind`` asks for when it hits ``size`` things."""
        found = next((entry for entry in self.entries if entry.names(kind)), None)
        own = NOTHING
        if found is not None and (size > found.above or kind in GUARDIANS):
            own = Demand(found.approvals, frozenset(found.roles))
        return own.stricter(self.strictest()) if kind in GUARDIANS else own

    def strictest(self) -> Demand:
        """What satisfies every entry."""
        found = NOTHING
        for entry in self.entries:
            found = found.stricter(Demand(entry.approvals, frozenset(entry.roles)))
        return found

    def demands(self) -> Iterable[Demand]:
        """Every demand that some act may meet."""
        return (Demand(entry.approvals, frozenset(entry.roles)) for entry in self.entries if entry.approvals)


def parse_rule(document: str, kinds: Collection[str], *, version: int = 0) -> Rule:
    """The rule in a YAML document. Raises ApprovalRefused(RULE_INVALID), naming what is wrong."""
    try:
        value: Any = load_yaml(document, max_bytes=_MAX_TEXT)
        body = msgspec.convert(value, _Document).approvals
    except (YamlRefused, msgspec.ValidationError) as error:
        raise ApprovalRefused(RULE_INVALID, " ".join(str(error).split())[:300]) from error
    for entry in body.rules:
        if not entry.kinds:
            raise ApprovalRefused(RULE_INVALID, "an entry names no kinds")
        for one in entry.kinds:
            if not any(Entry((one,), 0).names(kind) for kind in kinds):
                known = ", ".join(sorted(kinds))
                raise ApprovalRefused(RULE_INVALID, f"{one[:80]!r} names no kind of act; there are {known}")
        if entry.approvals and (not entry.roles or not set(entry.roles) <= _DECIDERS):
            names = ", ".join(sorted(role.value for role in _DECIDERS))
            raise ApprovalRefused(RULE_INVALID, f"roles that may approve are {names}")
    rule = Rule(body.rules, timedelta(hours=body.expires_hours), version, document)
    rule.strictest()
    return rule
