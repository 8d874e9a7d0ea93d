"""How the network is: access servers, networks, the RADIUS server's certificate, sessions."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import timedelta
from pathlib import Path
from typing import Final

from troth.audit.store import LedgerStore
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki.anchor_store import AnchorStore
from troth.radius.admission import network_store, source_store
from troth.radius.nas import seen_store
from troth.radius.nas import store as nas_store
from troth.radius.nas.desk import LATELY
from troth.radius.proxy import store as pool_store
from troth.radius.server.steering import way_told
from troth.radius.sessions import order_store
from troth.store.pool import Database
from troth.trust.outbox import alarms
from troth.web.books.radius import RadiusBook
from troth.web.health import CheckView
from troth.web.radius_views import RadiusIdentityView

#: Events of a network among which its breaker's last one is looked for.
_NEWEST: Final = 20
#: An order that is due for longer than this: nobody sends.
_LAGGING: Final = timedelta(seconds=60)
#: A renewal may be late by so much before it is said; and people are told of their own certificate so long before.
_RENEWAL_LATE: Final = timedelta(days=1)
_END_NEAR: Final = timedelta(days=21)
#: A foreign list that ends sooner than this and was not followed by another is told.
_LIST_ENDS: Final = timedelta(hours=12)
#: Tries in a row that have fetched no list in force.
_FAILING: Final = 3


class NetworkHealth:
    """Checks of everything that RADIUS stands on.

    Args:
        identity: the RADIUS server's certificate.
        steering: where this machine's RADIUS role says how packets find their worker.
    """

    def __init__(self, database: Database, clock: Clock, identity: RadiusBook, steering: Path | None = None) -> None:
        self._steering = steering
        self._database = database
        self._clock = clock
        self._identity = identity
        self._ledger = LedgerStore(database)

    async def check(self) -> tuple[CheckView, ...]:
        """What is wrong and what is well, a line for each thing that there is."""
        networks = await network_store.networks(self._database)
        answered = [one for one in await nas_store.all_nas(self._database) if one.retired_at is None]
        return (
            *await self._networks(networks, answered),
            *await self._access_servers(answered, networks),
            *await self._certificate(),
            *self._workers(),
            *await self._moves(),
        )

    async def _networks(
        self, networks: Sequence[network_store.Stored], answered: Sequence[nas_store.Stored]
    ) -> tuple[CheckView, ...]:
        """Breakers that are open, others' lists that have ended, and names of what is there no longer."""
        if not networks:
            return ()
        there = {one.name for one in answered}
        pools = {one.name for one in await pool_store.pools(self._database)}
        wrong = [line for one in networks for line in await self._breaker(one.name)]
        wrong += await self._uncalled(networks)
        for one in networks:
            wrong += _missing(f"{one.name} is matched by", one.definition.match.nas, there)
            wrong += _missing(f"{one.name} hands on to", (one.definition.proxy,) if one.definition.proxy else (), pools)
        wrong += await self._lists(
            {name for one in networks if one.definition.foreign for name in one.definition.anchors}
        )
        words = "; ".join(wrong) if wrong else f"{len(networks)} networks, no breaker open"
        return (CheckView("Networks", "warn" if wrong else "ok", words),)

    async def _breaker(self, network: str) -> list[str]:
        told = await self._ledger.about(f"network:{network}", _NEWEST)
        last = next((event for event in told if event.kind.startswith("network.breaker_")), None)
        if last is None or last.kind != "network.breaker_opened":
            return []
        if self._clock.now() - last.recorded_at >= timedelta(seconds=int(last.data["seconds"])):
            return []
        return [
            f"on {network} {last.data['refused']} of {last.data['asked']} devices would newly be refused for "
            f"{last.data['reason']}; the last word is taken for a while"
        ]

    async def _uncalled(self, networks: Sequence[network_store.Stored]) -> list[str]:
        """Networks whose breaker would call somebody that the reactions do not know."""
        named = {name for one in networks for name in one.definition.breaker.notify}
        gone = set(await alarms.nobody(self._database, sorted(named))) if named else set()
        return [
            line for one in networks
            for line in _missing(
                f"the breaker of {one.name} calls",
                [name for name in one.definition.breaker.notify if name in gone], set(),
            )
        ]  # fmt: skip

    async def _lists(self, anchors: Set[str]) -> list[str]:
        """Foreign anchors without a revocation list, or with one that has ended or soon will have."""
        if not anchors:
            return []
        now, held = self._clock.now(), await network_store.crls(self._database)
        ended = sorted({one.anchor for one in held if one.anchor in anchors and one.next_update <= now + _LIST_ENDS})
        there = {one.anchor for one in held}
        none = sorted(one.name for one in await AnchorStore(self._database).all() if one.name in anchors - there)
        unfetched = sorted(
            {one.anchor for one in await source_store.sources(self._database) if one.failures >= _FAILING}
        )
        fetching = [f"{_some(unfetched)}: a revocation list cannot be fetched, see `troth network crl-sources`"]
        return (fetching if unfetched else []) + [
            f"{_some(names)}: {what}, see `troth network crls`"
            for names, what in ((ended, "a revocation list has ended or ends within hours"),
                                (none, "no revocation list"))
            if names
        ]  # fmt: skip

    async def _access_servers(
        self, book: Sequence[nas_store.Stored], networks: Sequence[network_store.Stored]
    ) -> tuple[CheckView, ...]:
        """Access servers that are not answered, do not sign, have another secret, or name a network that is gone."""
        if not book:
            return ()
        held, now = await nas_store.held_secrets(self._database), self._clock.now()
        seen = await seen_store.summaries(self._database, now=now, lately=LATELY)
        there = {one.name for one in networks}
        over_tls = {one.name for one in book if (radsec := one.definition.radsec) is not None and radsec.only}
        lacking = [one.name for one in book if one.name not in over_tls and "current" not in held.get(one.name, {})]
        loose = [name for name, one in seen.items() if one.unsigned]
        strange = [name for name, one in seen.items() if one.wrong]
        wrong = [
            f"{_some(names)} {what}"
            for names, what in ((lacking, "without a secret"), (loose, "not signing requests (CVE-2024-3596)"),
                                (strange, "sending what their secret does not prove"))
            if names
        ]  # fmt: skip
        for one in book:
            wrong += _missing(f"{one.name} may ask for", one.definition.networks, there)
        words = "; ".join(wrong) + ": see `troth nas list`" if wrong else f"{len(book)} access servers, all in order"
        return (CheckView("Access servers", "warn" if wrong else "ok", words),)

    async def _certificate(self) -> tuple[CheckView, ...]:
        """The certificates that devices verify the network by: when one ends, those who are shown it refuse to join."""
        try:
            shown = await self._identity.present()
        except TrothError as error:
            return (CheckView("RADIUS certificate", "fail", f"{error.detail} [{error.code}]"),)
        if shown is None:
            return ()
        first = self._shown("RADIUS certificate", shown)
        if shown.second is not None:
            return (first, self._shown("RADIUS certificate (RSA)", shown.second))
        if self._identity.wants_second:
            words = "there is none: see the worker's log ([radius] rsa_authority)"
            return (first, CheckView("RADIUS certificate (RSA)", "warn", words))
        return (first,)

    def _shown(self, what: str, shown: RadiusIdentityView) -> CheckView:
        now, until = self._clock.now(), f"{shown.name} until {shown.not_after:%Y-%m-%d %H:%M} UTC"
        if shown.not_after <= now:
            return CheckView(what, "fail", f"{until}: it has ended, no device joins")
        if shown.renewed_at is not None and now > shown.renewed_at + _RENEWAL_LATE:
            return CheckView(what, "warn", f"{until}: its renewal is late, see the worker's log")
        if shown.renewed_at is None and shown.not_after - now < _END_NEAR:
            return CheckView(what, "warn", f"{until}: replace the file ([radius] certificate)")
        return CheckView(what, "ok", until)

    def _workers(self) -> tuple[CheckView, ...]:
        """How packets find their worker on this machine: both ways are right, and one takes more CPU."""
        told = way_told(self._steering) if self._steering is not None else None
        if told is None or told.places < 2:
            return ()
        if not told.why_not:
            words = "the kernel gives each packet to the worker that has its conversation"
        else:
            words = f"they hand over packets that are another's, since the kernel does not steer them: {told.why_not}"
        return (CheckView("RADIUS workers", "ok", f"{told.places} on this machine; {words}"),)

    async def _moves(self) -> tuple[CheckView, ...]:
        """Sessions that should have been ended or moved by now, and those that wait for a person."""
        found = await order_store.counts(self._database, ("waiting", "staged"))
        waiting, staged = found.get("waiting"), found.get("staged")
        stuck = waiting is not None and self._clock.now() - waiting[1] > _LAGGING
        wrong = ["sessions wait to be ended or moved: is a worker running?"] if stuck else []
        wrong += [f"{staged[0]} wait for a person: see `troth session orders --state staged`"] if staged else []
        if not wrong:
            return ()
        return (CheckView("Sessions", "fail" if stuck else "warn", "; ".join(wrong)),)


def _missing(what: str, named: Sequence[str], there: Set[str]) -> list[str]:
    gone = [name for name in named if name not in there]
    return [f"{what} {_some(gone)}, which is not there"] if gone else []


def _some(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(sorted(names)[:3])}{more}"
