"""What is asked for one act."""

from __future__ import annotations

from dataclasses import dataclass

from troth.access.approvals.errors import RULE_INVALID, ApprovalRefused
from troth.access.roles import Role


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for one act."""

    approvals: int
    roles: frozenset[Role] = frozenset({Role.ADMINISTRATOR, Role.APPROVER})

    def stricter(self, other: Demand) -> Demand:
        """What satisfies both. Raises ApprovalRefused where nobody's approval would count for both."""
        if self.approvals == 0 or other.approvals == 0:
            return self if self.approvals else other
        roles = self.roles & other.roles
        if not roles:
            raise ApprovalRefused(
                RULE_INVALID, "two entries that must both be satisfied have no role in common; change it in two steps"
            )
        return Demand(max(self.approvals, other.approvals), roles)


NOTHING = Demand(0)
