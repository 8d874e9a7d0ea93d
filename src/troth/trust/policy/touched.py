"""What another version of a policy can change: certificates of which profiles may be judged otherwise at a moment."""

from __future__ import annotations

from troth.trust.cel.condition import Condition
from troth.trust.errors import PolicyError
from troth.trust.model import Moment
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import PolicyStore


async def profiles_touched(store: PolicyStore, name: str, version: int, moment: Moment) -> frozenset[str] | None:
    """The profiles that the step to ``version`` touches at ``moment``; None: it cannot be known.

    Where neither the rules of the moment nor what is laid over them has changed, these are the profiles that the policy
    has begun or ceased to govern, and perhaps there are none.
    """
    new, old = await _compiled(store, name, version), await _compiled(store, name, version - 1)
    if new is None or (old is None and version > 1):
        return None
    if old is None or _judging(old, moment) != _judging(new, moment):
        return frozenset(new.profiles).union(() if old is None else old.profiles)
    return frozenset(new.profiles) ^ frozenset(old.profiles)


async def _compiled(store: PolicyStore, name: str, version: int) -> Policy | None:
    stored = await store.version(name, version) if version > 0 else None
    try:
        return None if stored is None else parse_policy(stored.source, file=name, version=version)
    except PolicyError:
        return None


def _judging(policy: Policy, moment: Moment) -> object:
    """All of a policy that a decision at ``moment`` is made from."""
    rules = [
        (one.name, _asked(one.match), [_asked(it) for it in one.require], one.then, one.otherwise, one.unknown)
        for one in policy.rules_at(moment)
    ]
    return (
        rules, dict(policy.feeds), policy.feed_default, policy.restricted, policy.quarantined,
        dict(policy.attributes), policy.time_zone,
    )  # fmt: skip


def _asked(condition: Condition | None) -> object:
    return None if condition is None else (condition.name, condition.source, condition.fix)
