"""Slowing down those who guess.

Three buckets are counted for a password log-in: the pair of account and address (5 free attempts), the address (20) and
the account (50: a guess spread over many addresses). Past its free attempts a bucket doubles the wait up to 15
minutes. Passkey log-ins and set-up tokens cannot be guessed; only the address counts for them, so that nobody can lock
an administrator with a passkey out.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from troth.access.attempts_store import ATTEMPT_FORGET, ATTEMPT_GIVE_BACK, ATTEMPT_SWEEP, ATTEMPT_TAKE
from troth.access.errors import TooManyAttempts
from troth.kit.clock import Clock
from troth.store.pool import Database
from troth.store.unit import Unit

_PAIR_FREE, _ADDRESS_FREE, _ACCOUNT_FREE = 5, 20, 50


def network_of(address: str) -> str:
    """An IPv4 address itself, or the /64 of an IPv6 one: a subscriber has 2⁶⁴ of those."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


class Attempts:
    """Counts attempts before they are checked, and forgets them after a success."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(self, address: str, account: str | None = None) -> None:
        """Count one attempt; raises TooManyAttempts, having counted nothing, while any bucket is blocked."""
        now = self._clock.now()
        unit = Unit()
        for bucket, free in self._buckets(address, account):
            unit.claim(ATTEMPT_TAKE, bucket, free, now, refuse=TooManyAttempts())
        unit.write(ATTEMPT_SWEEP, now - timedelta(days=1))
        await self._database.commit(unit)

    def forgive(self, unit: Unit, address: str, account: str | None = None) -> None:
        """Add to ``unit`` what a success changes."""
        for bucket, _ in self._buckets(address, account):
            if bucket.startswith("address:"):
                unit.write(ATTEMPT_GIVE_BACK, bucket)
            else:
                unit.write(ATTEMPT_FORGET, bucket)

    def _buckets(self, address: str, account: str | None) -> list[tuple[str, int]]:
        network = network_of(address)
        buckets = [(f"address:{network}", _ADDRESS_FREE)]
        if account is not None:
            buckets += [(f"account:{account}", _ACCOUNT_FREE), (f"pair:{network}:{account}", _PAIR_FREE)]
        return buckets
