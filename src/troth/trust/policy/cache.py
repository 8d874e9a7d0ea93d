"""The policies in force in this process: compiled once for each version, swapped whole.

Every worker follows the trust stream and calls :meth:`PolicyCache.refresh` on ``policy.applied``; between two
refreshes the judge works with one consistent set.
"""

from __future__ import annotations

from collections.abc import Mapping

from troth.kit.log import get_logger
from troth.trust.errors import PolicyError
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.policy.store import PolicyStore

log = get_logger("trust")

#: The ledger event after which the cache must be refreshed.
APPLIED = "policy.applied"


class PolicyCache:
    """Compiled policies by the profile they govern."""

    def __init__(self, store: PolicyStore) -> None:
        self._store = store
        self._policies: Mapping[str, Policy] = {}
        self._by_profile: Mapping[str, Policy] = {}

    def governing(self, profile: str) -> Policy | None:
        """The policy that governs ``profile``, or None: then everything is denied."""
        return self._by_profile.get(profile)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """The policies in force, by name."""
        return self._policies

    async def refresh(self) -> None:
        """Take the newest version of every policy; versions known already are not read or compiled again.

        A stored version that this program cannot compile leaves its profiles without a policy (deny) and is logged:
        going on with an older text would be deciding by rules that nobody has applied.
        """
        heads = await self._store.heads()
        made: dict[str, Policy] = {}
        for name, version in heads.items():
            known = self._policies.get(name)
            if known is not None and known.version == version:
                made[name] = known
                continue
            stored = await self._store.version(name, version)
            if stored is None:
                continue
            try:
                made[name] = parse_policy(stored.source, file=name, version=stored.version)
            except PolicyError as error:
                log.error("policy.unusable", policy=name, version=version, error=str(error))
        self._by_profile = {profile: policy for policy in made.values() for profile in policy.profiles}
        self._policies = made
