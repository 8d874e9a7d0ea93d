"""What this process has read or written a moment ago, lent to the request that comes next in place of another look.

Why this is safe stands in docs/adr/0012-what-was-just-written.md. In short: what is lent leads only to a commit whose
guards prove that it is still so, or to something that never changes; whoever would be refused because of it is judged
again on what is read anew. A loan ends a second after the look, or the commit, that it rests on was *begun*.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from msgspec.structs import replace

from troth.enroll.acme.model import Account, Authorization, Order
from troth.enroll.acme.store import Ordered
from troth.kit.clock import Clock

#: As long as a decision point may go on with what it was last told (the trust stream's lease).
LEASE_SECONDS: Final = 1.0
_KEPT: Final = 4096

T = TypeVar("T")


class _Loans(Generic[T]):
    """By identifier, the newest last; at most :data:`_KEPT`, and little that has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[UUID, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, key: UUID, value: T, begun: float) -> None:
        now = self._clock.monotonic()
        self._kept[key] = (begun + LEASE_SECONDS, value)
        self._kept.move_to_end(key)
        # The oldest are in front, and end first or nearly so.
        while len(self._kept) > _KEPT or next(iter(self._kept.values()))[0] <= now:
            self._kept.popitem(last=False)
            if not self._kept:
                return

    def of(self, key: UUID) -> T | None:
        found, now = self._kept.get(key), self._clock.monotonic()
        if found is None:
            return None
        if found[0] <= now:
            del self._kept[key]
            return None
        return found[1]

    def drop(self, key: UUID) -> None:
        self._kept.pop(key, None)


class Lately:
    """See the module. One per process; it belongs to one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: _Loans[Account] = _Loans(clock)
        self._orders: _Loans[tuple[Order, tuple[Authorization, ...]]] = _Loans(clock)
        self._certificates: _Loans[Ordered] = _Loans(clock)

    @property
    def kept(self) -> int:
        """How much is kept."""
        return len(self._accounts) + len(self._orders) + len(self._certificates)

    def begin(self) -> float:
        """The moment before a look or a commit; what it comes to is kept under this moment."""
        return self._clock.monotonic()

    # --- what was seen or written -----------------------------------------------------------------------------

    def saw(self, account: Account, begun: float) -> None:
        """``account`` was read after ``begun``."""
        if account.status == "valid":
            self._accounts.keep(account.id, account, begun)
        else:
            self._accounts.drop(account.id)

    def forget(self, account: UUID) -> None:
        """This process has changed the account."""
        self._accounts.drop(account)

    def placed(self, order: Order, authorizations: Sequence[Authorization], begun: float) -> None:
        """This process has committed ``order`` after ``begun``."""
        self._orders.keep(order.id, (order, tuple(authorizations)), begun)

    def proved(self, authz: Authorization, begun: float) -> None:
        """This process has committed after ``begun`` that ``authz`` is valid, and has settled its order by it."""
        found = self._orders.of(authz.order_id)
        if found is None:
            return
        order, known = found
        authzs = tuple(authz if one.id == authz.id else one for one in known)
        if order.status == "pending" and all(one.status == "valid" for one in authzs):
            # As SETTLE_ORDER has it: it lasts no longer than the proofs it stands on.
            order = replace(order, status="ready", expires=min(order.expires, *(one.expires for one in authzs)))
        self._orders.keep(order.id, (order, authzs), begun)

    def issued(self, certificate: UUID, ordered: Ordered) -> None:
        """This process has stored a certificate; nothing of ``ordered`` ever changes."""
        self._certificates.keep(certificate, ordered, self.begin())

    # --- loans: for the account that signed, and what the path names ------------------------------------------

    def for_new_order(self, account: UUID, _nothing: UUID) -> tuple[Account, Any] | None:
        """The account. Its order's commit is guarded by its status and its key."""
        found = self._accounts.of(account)
        return None if found is None else (found, None)

    def for_finalize(self, account: UUID, order: UUID) -> tuple[Account, Any] | None:
        """The account and a ready order with its proofs, once: the reservation is guarded by all of them."""
        signer, found = self._accounts.of(account), self._orders.of(order)
        if signer is None or found is None:
            return None
        if found[0].status != "ready" or any(one.status != "valid" for one in found[1]):
            return None
        self._orders.drop(order)  # whoever repeats it wants to know what became of it
        return signer, found

    def for_certificate(self, account: UUID, certificate: UUID) -> tuple[Account, Any] | None:
        """The account and the certificate, which never changes."""
        signer, found = self._accounts.of(account), self._certificates.of(certificate)
        return None if signer is None or found is None else (signer, found)
