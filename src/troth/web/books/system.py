"""How the installation is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import troth
from troth.access.approvals.service import Approvals
from troth.audit.store import LedgerStore
from troth.connect import connector_store
from troth.connect.ssf import event_store, store
from troth.connect.ssf.transmitter import queue_store
from troth.connect.ssf.transmitter import store as out_store
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.settings import BackupSettings
from troth.ops.backup.keep import kept_in
from troth.ops.backup.shipped import shipping
from troth.pki.crl_store import CrlStore
from troth.pki.fence_store import read_fence
from troth.pki.finding_store import FindingStore
from troth.pki.ports import Interlock
from troth.store.marks import read_marks
from troth.store.pool import Database
from troth.trust.feeds import feed_store
from troth.trust.feeds.health import FeedHealthBook
from troth.trust.feeds.health import Health as FeedHealthWord
from troth.trust.intake import inbox_store, unresolved_store
from troth.trust.outbox import alarms
from troth.trust.outbox.document_store import DocumentStore
from troth.trust.standings.service import RulesService
from troth.web.books.authorities import Authorities
from troth.web.books.keys import KeySigner
from troth.web.books.network_health import NetworkHealth
from troth.web.books.store import BookStore
from troth.web.health import CheckView, Health

#: An event without an index for longer than this: nobody sequences.
_LAGGING = timedelta(seconds=10)
_CHECKPOINT_AGE = timedelta(minutes=10)
_DAY = timedelta(days=1)
#: All that the ledger holds is marked as shipped every few seconds.
_UNSHIPPED = timedelta(minutes=1)
#: A receiver that has left a token lie for so long does not hear.
_UNHEARD = timedelta(minutes=15)
_SILENT = (FeedHealthWord.LATE, FeedHealthWord.STALE, FeedHealthWord.DEAD)


class HealthChecks:
    """See :class:`troth.web.services.HealthBook`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        authorities: Authorities,
        interlock: Interlock,
        approvals: Approvals,
        network: NetworkHealth,
        backup: BackupSettings | None = None,
        keys: KeySigner | None = None,
        *,
        test_mode: bool = False,
    ) -> None:
        self._test_mode = test_mode
        self._approvals = approvals
        self._network = network
        self._database = database
        self._backup = backup
        self._keys = keys
        self._clock = clock
        self._ledger = LedgerStore(database)
        self._books = BookStore(database)
        self._feed_health = FeedHealthBook(database, clock)
        self._lint = FindingStore(database)
        self._authorities = authorities
        self._crl_store = CrlStore(database)
        self._interlock = interlock

    async def check(self) -> Health:
        return Health(
            troth.__version__,
            self._clock.now(),
            (await self._processes(), await self._clocks(), await self._sequencing(), await self._crls(),
             await self._points(), await self._two_persons(), await self._custody(), await self._recovery(),
             *await self._shipping(), await self._findings(), *await self._feeds(),
             *await self._streams(), *await self._told(), *await self._effects(),
             *await self._network.check(), *self._testing()),
        )  # fmt: skip

    async def _feeds(self) -> tuple[CheckView, ...]:
        """Feeds that are silent, connectors that fail, signals that nobody acts on; nothing without feeds."""
        found = await self._feed_health.all()
        if not found:
            return ()
        wrong = [f"{one.heard.feed} is {one.health.value}" for one in found if one.health in _SILENT]
        wrong += [
            f"{one.name} is suspended: see `troth feed list`" for one in await feed_store.all_feeds(self._database)
            if one.suspended
        ]  # fmt: skip
        wrong += await self._uncalled()
        failing = sorted({one.connector for one in await connector_store.reads(self._database) if one.failures})
        wrong += [f"connector {name} fails: see `troth connector show {name}`" for name in failing]
        inbox, now = await inbox_store.counts(self._database), self._clock.now()
        stuck = any(one.oldest is not None and now - one.oldest > _LAGGING for one in inbox)
        wrong += ["signals wait to be acted on: is a worker running?"] if stuck else []
        unknown = sum(signals for signals, _ in (await unresolved_store.counts(self._database)).values())
        wrong += [f"{unknown} signals name nobody known, or several: see `troth signal unresolved`"] if unknown else []
        words = "; ".join(wrong) if wrong else f"{len(found)} feeds, none silent"
        return (CheckView("Feeds", "fail" if stuck else "warn" if wrong else "ok", words),)

    async def _uncalled(self) -> list[str]:
        """Whom the standing document's caps would call and the reactions do not know."""
        rules, _ = await RulesService(self._database, self._clock).in_force()
        gone = await alarms.nobody(self._database, rules.caps.notify) if rules.caps.notify else []
        return [f"caps call {name}, which is no target of the reactions" for name in gone]

    async def _streams(self) -> tuple[CheckView, ...]:
        """Streams of shared signals that are silent or stopped; nothing where there are none."""
        found, now = await store.all_streams(self._database), self._clock.now()
        if not found:
            return ()
        wrong = [
            f"{one.name} is {one.status}{f' ({one.error})' if one.error else ''}" for one in found
            if one.status != "enabled"
        ] + [f"{one.name} is late" for one in found if one.status == "enabled" and one.late(now)]  # fmt: skip
        wide = len(await event_store.waiting(self._database))
        if wide:
            wrong.append(f"{wide} events about many at once wait for a person")
        words = "; ".join(wrong) if wrong else f"{len(found)} streams, all heard from"
        return (CheckView("Shared signals", "warn" if wrong else "ok", words),)

    async def _told(self) -> tuple[CheckView, ...]:
        """Streams to receivers that are stopped, fail or lag; nothing where nobody is told."""
        found, now = await out_store.streams(self._database), self._clock.now()
        if not found:
            return ()
        numbers = await queue_store.numbers(self._database)
        wrong = []
        for one in found:
            waiting, refused, oldest = numbers.get(one.id, (0, 0, None))
            if one.status != "enabled":
                wrong.append(f"{one.receiver} is {one.status}{f' ({one.status_reason})' if one.status_reason else ''}")
            elif oldest is not None and now - oldest > _UNHEARD:
                wrong.append(f"{one.receiver} lags: {waiting} wait{f' ({one.error})' if one.error else ''}")
            if refused:
                wrong.append(f"{one.receiver} refused {refused}")
        words = "; ".join(wrong) if wrong else f"{len(found)} streams, none lags"
        return (CheckView("Told to others", "warn" if wrong else "ok", words),)

    async def _effects(self) -> tuple[CheckView, ...]:
        """Effects that were given up, and targets that are not asked for now; nothing where there never was any."""
        documents = DocumentStore(self._database)
        queues, now = await documents.queues(self._clock.now() - _DAY), self._clock.now()
        if not queues:
            return ()
        dead = sum(one.number for one in queues if one.state == "dead")
        wrong = [f"{dead} were given up: see `troth effect list --state dead`"] if dead else []
        wrong += [
            f"{one.name} fails ({one.last_error})" for one in await documents.targets()
            if one.open_until is not None and one.open_until > now
        ]  # fmt: skip
        waiting = sum(one.number for one in queues if one.state == "waiting")
        words = "; ".join(wrong) if wrong else f"{waiting} wait, none was given up"
        return (CheckView("Effects elsewhere", "warn" if wrong else "ok", words),)

    def _testing(self) -> tuple[CheckView, ...]:
        """What must not go unseen for as long as it lasts; nothing on a server in use."""
        if not self._test_mode:
            return ()
        return (CheckView("ACME test mode", "warn", "acme_test.enabled: this server is for tests of clients alone"),)

    async def _custody(self) -> CheckView:
        """Whether every key can be used, and if not, since when and why."""
        if self._keys is None:
            return CheckView("Keys", "warn", "this process has no signer to ask")
        try:
            report = await self._keys.custody()
        except TrothError as error:
            return CheckView("Keys", "fail", f"the signer does not answer: {error.detail}")
        lost = [one for one in report.custodians if one.state != "ready"]
        if lost:
            told = [
                f"{one.name} is {one.state}{f' since {one.since:%Y-%m-%d %H:%M} UTC' if one.since else ''}: "
                f"{one.detail} [{one.code}]"
                for one in lost
            ]
            return CheckView("Keys", "fail" if any(one.keys for one in lost) else "warn", "; ".join(told))
        if report.troubles:
            first = report.troubles[0]
            more = f", and {len(report.troubles) - 1} more" if len(report.troubles) > 1 else ""
            return CheckView("Keys", "fail", f"{first.key_id}: {first.detail} [{first.code}]{more}")
        orphans = sum(len(one.orphans) for one in report.custodians)
        words = ", ".join(f"{one.name} ready with {one.keys}" for one in report.custodians)
        if orphans:
            return CheckView("Keys", "warn", f"{words}; {orphans} keys there are nobody's: see `troth key list`")
        return CheckView("Keys", "ok", words)

    async def _two_persons(self) -> CheckView:
        """Whether the rule can be met still: people leave, and then nothing dangerous can be done any more."""
        rule, waiting = await self._approvals.rule(), await self._approvals.waiting()
        words = f"{waiting} wait, under version {rule.version} of the rule" if rule.version else "no act asks for any"
        for demand in rule.demands():
            could = await self._approvals.eligible(demand)
            if len(could) <= demand.approvals:
                return CheckView(
                    "Approvals", "warn",
                    f"{words}; {demand.approvals} besides the proposer are asked, and only {len(could)} persons could: "
                    f"{', '.join(could) or 'nobody'}",
                )  # fmt: skip
        return CheckView("Approvals", "ok", words)

    async def _processes(self) -> CheckView:
        roles = await self._books.roles()
        words = ", ".join(f"{live} {role}" for role, live, _ in roles if live) or "none has reported"
        silent = [role for role, live, gone in roles if not live and gone]
        if silent:
            return CheckView("Processes", "fail", f"{words}; no living process of role {', '.join(silent)}")
        return CheckView("Processes", "ok" if roles else "warn", words)

    async def _clocks(self) -> CheckView:
        try:
            await self._interlock.ensure()
        except TrothError as error:
            return CheckView("Clocks", "fail", error.detail)
        return CheckView("Clocks", "ok", "this node, the database and the ledger agree")

    async def _sequencing(self) -> CheckView:
        now = self._clock.now()
        oldest = await self._ledger.oldest_unsequenced()
        if oldest is not None and now - oldest > _LAGGING:
            return CheckView("Ledger", "fail", "events wait to be sequenced: is a worker running?")
        head, last = await self._ledger.head(), await self._ledger.last_checkpoint()
        if last is None:
            return CheckView("Ledger", "warn" if head.size else "ok", f"{head.size} events, none signed yet")
        behind = head.size - last.size
        if behind and now - last.signed_at > _CHECKPOINT_AGE:
            return CheckView("Ledger", "warn", f"{behind} events are not under a signed checkpoint")
        return CheckView("Ledger", "ok", f"{head.size} events, {last.size} of them under a signed checkpoint")

    async def _crls(self) -> CheckView:
        now = self._clock.now()
        with_crl = [one for one in await self._authorities.list() if one.crl_url]
        late = [one.name for one in with_crl if one.crl_next_update is None or one.crl_next_update <= now]
        if late:
            return CheckView("CRLs", "fail", f"no valid CRL of {', '.join(late)}")
        crls = await self._crl_store.published()
        stale = sorted({f"{one.authority} (shard {one.shard})" for one in crls if one.next_update <= now})
        if stale:
            return CheckView("CRLs", "fail", f"past nextUpdate: {', '.join(stale[:5])}")
        entries, size = sum(one.entries for one in crls), sum(one.size for one in crls)
        return CheckView("CRLs", "ok", f"{len(crls)} fresh, {entries} entries, {size / 2**20:.1f} MiB")

    async def _recovery(self) -> CheckView:
        """The fence, and how old the newest archive is."""
        fence = await read_fence(self._database)
        if fence.closed:
            return CheckView("Recovery", "fail", f"fenced: {fence.reason}; see `troth restore status`")
        if self._backup is None or not self._backup.directory:
            return CheckView("Recovery", "ok", "no archive is made on schedule ([backup] directory)")
        try:
            kept = await asyncio.to_thread(kept_in, Path(self._backup.directory))
        except TrothError as error:
            return CheckView("Recovery", "warn", error.detail)
        if not kept:
            return CheckView("Recovery", "warn", "no archive has been made yet")
        age = self._clock.now() - kept[0].made_at
        late = age > 2 * timedelta(seconds=self._backup.every_seconds)
        words = f"the newest of {len(kept)} archives is {age.total_seconds() / 3600:.1f} h old, {kept[0].size:,} bytes"
        return CheckView("Recovery", "warn" if late else "ok", words)

    async def _shipping(self) -> tuple[CheckView, ...]:
        """Whether the ledger is shipped, and if not, why; nothing where it is not to be."""
        if self._backup is None or not self._backup.tiles:
            return ()
        now, found = self._clock.now(), shipping(await read_marks(self._database))
        if found.complete_at is None:
            words = "the ledger has never been shipped whole"
        else:
            words = f"all of the ledger was shipped {_ago(now - found.complete_at)} ago"
        if found.stopped is not None and found.stopped_at is not None:
            why = f"stopped {_ago(now - found.stopped_at)} ago: {found.stopped.summary} [{found.stopped.code}]; {words}"
            return (CheckView("Shipping", "fail", f"{why}. {found.stopped.fix}"),)
        if found.complete_at is None or now - found.complete_at > _UNSHIPPED:
            return (CheckView("Shipping", "warn", f"{words}: is a worker running?"),)
        return (CheckView("Shipping", "ok", words),)

    async def _findings(self) -> CheckView:
        counts = await self._lint.counts()
        if not counts:
            return CheckView("Certificates issued", "ok", "lint and audit have found nothing")
        words = ", ".join(f"{number} of {code}" for _, code, number in counts[:5])
        return CheckView("Certificates issued", "warn", f"lint and audit have found {words}: see Findings")

    async def _points(self) -> CheckView:
        points = await self._ledger.points()
        lapsed = [point.name for point in points if not point.live]
        if lapsed:
            return CheckView("Decision points", "warn", f"lapsed, following their stated policy: {', '.join(lapsed)}")
        return CheckView("Decision points", "ok" if points else "warn", f"{len(points)} up to date")


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
