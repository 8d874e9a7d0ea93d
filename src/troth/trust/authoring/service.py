"""Policies as they are applied: validated, compiled, compared with what is in force, stored, told to everyone.

A version is never changed; going back is applying the old text anew. The diff shown to a person is of the text; what
it changes for whom is the business of ``policy replay``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.authoring.examples import Tried, run_tests
from troth.trust.errors import (
    POLICY_CHANGED,
    POLICY_CONFLICT,
    POLICY_TESTS_FAILED,
    POLICY_UNKNOWN,
    PolicyError,
    Retryable,
)
from troth.trust.policy.cache import APPLIED
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import ADD_VERSION, PolicyStore, PolicyVersion


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """What applying a policy file would do.

    Attributes:
        policy: compiled, with the version number it would get (the present one if nothing changes).
        before: the version in force, or None for a new policy.
        diff: unified diff of the texts, empty if nothing changes.
        seen: how many policy versions had ever been applied when this was planned.
        tests: its own examples, as they came out.
    """

    policy: Policy
    before: PolicyVersion | None
    diff: str
    seen: int
    tests: tuple[Tried, ...] = ()

    @property
    def failed(self) -> tuple[Tried, ...]:
        """The examples that did not come out as they should."""
        return tuple(one for one in self.tests if not one.passed)

    def refuse_failed(self) -> None:
        """Raise PolicyError (``policy.tests_failed``), naming each example that failed, if one did."""
        if self.failed:
            told = "; ".join(f"{one.name}: {', '.join(one.differences)}" for one in self.failed[:10])
            more = f" and {len(self.failed) - 10} more" if len(self.failed) > 10 else ""
            raise PolicyError(
                POLICY_TESTS_FAILED, f"{len(self.failed)} of {len(self.tests)}: {told}{more}", policy=self.policy.name
            )

    @property
    def changes(self) -> bool:
        """Whether there is anything to apply."""
        return self.before is None or self.before.sha256 != self.policy.sha256


class PolicyService:
    """Apply, list, show, compare."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.store = PolicyStore(database)

    async def plan(self, text: str, *, file: str = "policy") -> PolicyPlan:
        """Validate and compare. Raises PolicyError for a bad file, or one that takes another policy's profile."""
        seen = await self.store.count()
        newest = {version.name: version for version in await self.store.newest()}
        policy = parse_policy(text, file=file)
        for other in newest.values():
            if other.name == policy.name:
                continue
            taken = set(policy.profiles) & set(_profiles(other))
            if taken:
                raise PolicyError(
                    POLICY_CONFLICT,
                    f"{file}: policy {other.name!r} governs {', '.join(sorted(taken))}",
                    file=file,
                    policy=other.name,
                )
        before = newest.get(policy.name)
        unchanged = before is not None and before.sha256 == policy.sha256
        number = (before.version if before is not None else 0) + (0 if unchanged else 1)
        return PolicyPlan(
            policy=parse_policy(text, file=file, version=number),
            before=before,
            diff=_diff(before, policy),
            seen=seen,
            tests=run_tests(policy),
        )

    async def apply(self, plan: PolicyPlan, *, actor: str, forced: str | None = None) -> Policy:
        """Make ``plan`` the policy in force; applying the same text again changes nothing.

        Raises PolicyError if one of its own tests fails and nobody has ``forced`` it with a reason, Retryable if
        another version of any policy was applied since it was planned.
        """
        if not plan.changes:
            return plan.policy
        await self._database.commit(self.unit(plan, actor=actor, forced=forced))
        return plan.policy

    def unit(self, plan: PolicyPlan, *, actor: str, forced: str | None = None) -> Unit:
        """The write unit that applies ``plan``: for callers that join more to it (an approval, a first start).

        Raises PolicyError as :meth:`apply` does.
        """
        policy = plan.policy
        if forced is None:
            plan.refuse_failed()
        changed = Retryable(POLICY_CHANGED, f"a policy was applied since version {policy.version} was planned")
        unit = Unit()
        unit.claim(
            ADD_VERSION,
            plan.seen + 1, policy.name, policy.version, policy.sha256, policy.source, self._clock.now(), actor,
            refuse=changed,
            key=ADD_VERSION.name,
        )  # fmt: skip
        data: dict[str, Json] = {
            "policy": policy.name,
            "version": policy.version,
            "sha256": policy.sha256,
            "profiles": list(policy.profiles),
            "before": plan.before.version if plan.before is not None else None,
        }
        if forced is not None:
            data |= {"forced": forced, "tests_failed": [one.name for one in plan.failed]}
        return unit.record(Event(APPLIED, actor, (f"policy:{policy.name}",), data))

    async def show(self, name: str, version: int | None = None) -> PolicyVersion:
        """One version, by default the newest. Raises PolicyError if there is none."""
        found = await self.store.version(name, version)
        if found is None:
            which = f"version {version} of " if version is not None else ""
            raise PolicyError(POLICY_UNKNOWN, f"there is no {which}policy {name!r}")
        return found

    async def diff(self, name: str, before: int, after: int | None = None) -> str:
        """A unified diff of two versions; ``after`` is by default the newest."""
        old, new = await self.show(name, before), await self.show(name, after)
        return _unified(old.source, new.source, f"{name} version {old.version}", f"{name} version {new.version}")

    async def in_force(self) -> list[PolicyVersion]:
        """The policies in force, by name."""
        return await self.store.newest()

    async def apply_shipped(self, *, actor: str) -> list[Policy]:
        """Apply each policy that comes with Troth and whose name was never applied: for the first start.

        What an administrator has applied under such a name is never replaced, and a profile that a policy of theirs
        governs stays under it.
        """
        applied: list[Policy] = []
        known = await self.store.heads()
        governed = {profile for version in await self.store.newest() for profile in _profiles(version)}
        for name, text in shipped().items():
            if name not in known and governed.isdisjoint(parse_policy(text, file=f"{name}.yaml").profiles):
                applied.append(await self.apply(await self.plan(text, file=f"{name}.yaml"), actor=actor))
        return applied


def shipped() -> dict[str, str]:
    """The policies that come with Troth: name → text."""
    found: dict[str, str] = {}
    for item in sorted(resources.files("troth.trust").joinpath("policies").iterdir(), key=lambda item: item.name):
        if item.name.endswith(".yaml"):
            found[item.name.removesuffix(".yaml")] = item.read_text(encoding="utf-8")
    return found


def _profiles(version: PolicyVersion) -> tuple[str, ...]:
    try:
        return parse_policy(version.source, file=version.name, version=version.version).profiles
    except PolicyError:
        # Applied by another Troth with other words: it governs nothing here (see PolicyCache.refresh).
        return ()


def _diff(before: PolicyVersion | None, policy: Policy) -> str:
    old = before.source if before is not None else ""
    label = f"{policy.name} version {before.version}" if before is not None else "nothing"
    return _unified(old, policy.source, label, f"{policy.name} as applied now")


def _unified(old: str, new: str, old_label: str, new_label: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_label, new_label, lineterm="")
    return "\n".join(lines)
