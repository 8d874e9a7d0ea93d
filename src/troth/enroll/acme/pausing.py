"""Clients that never succeed: they wait longer after each failure, and in the end they are paused.

A machine that was renamed or moved goes on asking for years. After so many failures in a row for one name, the
account's next order for it is refused with a link: a page for whoever looks after the machine, who needs no log-in,
sees the names and sets them going again with a button, as Let's Encrypt does it. A success forgets all of it.

The link is a token that only Troth can make (sealed, so that it tells a stranger nothing), good for one account, for
unpausing and for a time; it undoes only what was paused before it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from troth.audit.event import Event
from troth.client.errors import JoseError
from troth.client.jose import b64url_decode, b64url_encode
from troth.enroll.acme import limit_store as store
from troth.enroll.acme.errors import FAILING, LINK_INVALID, PAUSED
from troth.enroll.acme.limit_store import Failing, LimitStore
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.sealing import SealBroken, SecretBox
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

_NAME = "link"
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Patience:
    """How long clients that fail are borne with.

    Attributes:
        free: failures in a row that cost no wait; from the next on it is a minute, and doubles.
        longest: the longest wait.
        most: failures in a row after which the name is paused; 0: never.
        link_lifetime: for how long an unpause link is good.
    """

    free: int = 5
    longest: timedelta = timedelta(hours=1)
    most: int = 50
    link_lifetime: timedelta = timedelta(days=14)

    def wait(self, failures: int) -> timedelta:
        """How long to wait after so many failures in a row."""
        over = failures - self.free
        return min(self.longest, timedelta(minutes=2 ** min(over - 1, 20))) if over > 0 else timedelta()

    def pauses(self, failures: int) -> bool:
        """Whether so many failures in a row pause the name."""
        return 0 < self.most <= failures


@dataclass(frozen=True, slots=True)
class Link:
    """What an unpause link stands for."""

    account: UUID
    made_at: datetime


class Pausing:
    """See the module.

    Args:
        base: the public URL, ``https://host:port``.
        patience: None: nobody has to wait, and nobody is paused.
    """

    def __init__(
        self, database: Database, clock: Clock, patience: Patience | None, box: SecretBox, base: str = ""
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience = patience
        self._box = box
        self._base = base
        self._store = LimitStore(database)

    # --- orders ------------------------------------------------------------------------------------------------

    def watch(self, unit: Unit, account: UUID, names: Sequence[Identifier], refuse: Exception) -> Unit:
        """Let ``unit`` place an order only if the account has not failed too often for any of ``names``.

        When the commit raises ``refuse``, :meth:`problem` says why.
        """
        if self._patience is not None:
            now = self._clock.now()
            for name in names:
                unit.guard(store.NOT_FAILING, account, name.type, name.value, now, refuse=refuse)
        return unit

    async def problem(self, account: UUID, names: Sequence[Identifier]) -> AcmeProblem | None:
        """Why the account may not order ``names`` now; None if it may."""
        now = self._clock.now()
        found = await self._store.failing(account, [name.value for name in names], now)
        paused = [one for one in found if one.paused_at is not None]
        if paused:
            url = self.link(account)
            told = ", ".join(one.value for one in paused[:10]) + (" …" if len(paused) > 10 else "")
            failures = max(one.failures for one in paused)
            detail = (
                f"validation for {told} has failed {failures} times in a row, and is paused; mend the cause, "
                f"then set it going again: {url}"
            )
            headers = ((b"retry-after", b"86400"), (b"link", f'<{url}>;rel="help"'.encode()))
            return AcmeProblem(PAUSED, detail, headers=headers, members={"unpause": url})
        if not found:
            return None
        last = max(found, key=lambda one: one.retry_at)
        seconds = max(1, int((last.retry_at - now).total_seconds()) + 1)
        detail = (
            f"validation for {last.value} has failed {last.failures} times in a row; the next try may be made later"
        )
        return AcmeProblem(FAILING, detail, headers=((b"retry-after", str(seconds).encode()),))

    # --- validations -------------------------------------------------------------------------------------------

    def failed(self, unit: Unit, account: UUID, name: Identifier) -> Unit:
        """Let ``unit`` count one more failure."""
        patience = self._patience
        if patience is None:
            return unit

        async def step(reader: Reader, inner: Unit) -> None:
            now = self._clock.now()
            failures = await store.failures_of(reader, account, name.type, name.value) + 1
            paused = now if patience.pauses(failures) else None
            inner.write(
                store.SET_FAILING, account, name.type, name.value, failures, now, now + patience.wait(failures), paused
            )
            if failures == patience.most:
                told: dict[str, Json] = {"name": name.value, "failures": failures}
                inner.record(Event("acme.account.paused", "system:validator", (f"account:{account}",), told))

        return unit.exclusively(("acme_failing", account, name)).then(step)

    def succeeded(self, unit: Unit, account: UUID, name: Identifier) -> Unit:
        """Let ``unit`` forget the failures."""
        if self._patience is not None:
            unit.exclusively(("acme_failing", account, name))
            unit.write(store.SUCCEEDED, account, name.type, name.value)
        return unit

    # --- setting it going again --------------------------------------------------------------------------------

    def link(self, account: UUID) -> str:
        """The URL of the page on which the account's names are set going again."""
        made = int(self._clock.now().timestamp())
        token = self._box.seal(_NAME, account.bytes + made.to_bytes(8, "big"))
        return f"{self._base}/acme/unpause/{b64url_encode(token)}"

    def read(self, token: str) -> Link:
        """The link that ``token`` is. Raises AcmeProblem for one that is not ours, or too old."""
        try:
            octets = self._box.open(_NAME, b64url_decode(token[:400]))
        except (SealBroken, JoseError):
            raise AcmeProblem(LINK_INVALID, "the link is not complete, or was not made by this server") from None
        link = Link(UUID(bytes=octets[:16]), datetime.fromtimestamp(int.from_bytes(octets[16:24], "big"), UTC))
        lifetime = self._patience.link_lifetime if self._patience is not None else timedelta()
        if self._clock.now() >= link.made_at + lifetime:
            raise AcmeProblem(LINK_INVALID, "the link is too old; the client's next refusal has a new one")
        return link

    async def names(self, link: Link) -> list[Failing]:
        """What the link would set going again."""
        return await self._store.paused_of(link.account, link.made_at + timedelta(seconds=1), _SHOWN)

    async def unpause(self, account: UUID, *, until: datetime, by: str) -> int:
        """Set going again what was paused by ``until``; how many names that were, as far as they were counted."""
        # A token holds whole seconds: what was paused within that second belongs to it.
        until = until + timedelta(seconds=1)
        found = await self._store.paused_of(account, until, 10_000)
        if not found:
            return 0
        told: dict[str, Json] = {"names": [one.value for one in found[:_SHOWN]], "number": len(found)}
        unit = Unit().exclusively(("acme_unpause", account)).write(store.UNPAUSE, account, until)
        unit.record(Event("acme.account.unpaused", by, (f"account:{account}",), told))
        await self._database.commit(unit)
        return len(found)

    async def paused_of(self, account: UUID) -> list[Failing]:
        """An account's paused names."""
        return await self._store.paused_of(account, self._clock.now(), _SHOWN)

    async def paused(self, after: tuple[datetime, UUID, str] | None, limit: int) -> list[Failing]:
        """All that is paused, the latest first; ``after`` is the place of the last one of the page before."""
        return await self._store.paused(after, limit)
