"""The standing document as it is applied: validated, compared with what is in force, stored, numbered.

A version is never changed; going back is applying the old text anew.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.store.pool import Database
from troth.store.unit import Reader, Unit
from troth.trust.errors import STANDING_CHANGED_MEANWHILE, Retryable, RulesError
from troth.trust.standings import rules_store
from troth.trust.standings.grammar import digest, parse_rules, shipped_rules, shipped_text
from troth.trust.standings.rules import StandingRules
from troth.trust.standings.rules_store import ADD_RULES, RulesVersion

APPLIED: Final = "standing.applied"

log = get_logger("trust")


@dataclass(frozen=True, slots=True)
class RulesPlan:
    """What applying a standing document would do: the rules with the version they would get, and the difference."""

    rules: StandingRules
    source: str
    before: RulesVersion | None
    diff: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to apply."""
        return self.before is None or self.before.sha256 != digest(self.source)


class RulesCache:
    """Rules by version. A version never changes, so it is read once in a process."""

    def __init__(self) -> None:
        self._known: dict[int, StandingRules] = {}

    async def of(self, reader: Reader, version: int) -> StandingRules:
        """The rules of that version; 0 is what Troth ships.

        A version that this program cannot read (another Troth applied it) is replaced by what is shipped, aloud: a
        standing has to be found somehow, and the shipped rules are cautious.
        """
        found = self._known.get(version)
        if found is None:
            found = shipped_rules() if version == 0 else await self._read(reader, version)
            self._known[version] = found
        return found

    async def _read(self, reader: Reader, version: int) -> StandingRules:
        stored = await rules_store.rules_version(reader, version)
        if stored is None:
            return shipped_rules()
        try:
            return parse_rules(stored.source, version=version)
        except RulesError as error:
            log.error("standing.unusable", version=version, error=str(error))
            return shipped_rules()


class RulesService:
    """Plan, apply and show the standing document."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def in_force(self) -> tuple[StandingRules, RulesVersion | None]:
        """The rules in force, and the version as applied; None while what Troth ships governs."""
        newest = await rules_store.rules_version(self._database)
        if newest is None:
            return shipped_rules(), None
        return await RulesCache().of(self._database, newest.version), newest

    async def history(self, limit: int = 50) -> list[RulesVersion]:
        """Versions that were applied, the newest first."""
        return await rules_store.rules_history(self._database, limit)

    async def plan(self, text: str, *, file: str = "standing") -> RulesPlan:
        """Validate and compare. Raises RulesError."""
        before = await rules_store.rules_version(self._database)
        version = 1 if before is None else before.version + (before.sha256 != digest(text))
        rules = parse_rules(text, file=file, version=version)
        old = before.source if before is not None else shipped_text()
        label = f"standing version {before.version}" if before is not None else "standing as shipped"
        lines = difflib.unified_diff(
            old.splitlines(), text.splitlines(), label, f"standing version {version}", lineterm=""
        )
        return RulesPlan(rules, text, before, "\n".join(lines))

    async def apply(self, plan: RulesPlan, *, actor: str, joined: Unit | None = None) -> StandingRules:
        """Make ``plan`` what is in force. Raises Retryable if another version was applied since it was planned."""
        unit = self.unit(plan, actor=actor) if plan.changes else Unit()
        if joined is not None:
            unit.absorb(joined)
        if plan.changes or joined is not None:
            await self._database.commit(unit)
        return plan.rules

    def unit(self, plan: RulesPlan, *, actor: str) -> Unit:
        """The write unit that applies ``plan``."""
        version = plan.rules.version
        changed = Retryable(STANDING_CHANGED_MEANWHILE, f"a standing document was applied since {version} was planned")
        unit = Unit().claim(
            ADD_RULES, version, digest(plan.source), plan.source, self._clock.now(), actor, refuse=changed,
            key=ADD_RULES.name,
        )  # fmt: skip
        before = plan.before.version if plan.before is not None else None
        data: dict[str, Json] = {"version": version, "sha256": digest(plan.source), "before": before}
        return unit.record(Event(APPLIED, actor, ("standing:rules",), data))
