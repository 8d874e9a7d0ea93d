"""Admissions: what the server asks. The decision, the bounded waits before it, breaker and journal.

Two things are waited for: that what has just changed about a device is read, and that a lease on the trust stream that
has lapsed is renewed. A busy machine misses a renewal by a second now and then, and that is no reason to turn a campus
away; nobody is let in meanwhile, and when the wait is over the network's stale policy has the word."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.radius.admission.breaker import Breaker, Opened
from troth.radius.admission.conversations import NOTE, Conversation, conversation, encode
from troth.radius.admission.errors import STALE
from troth.radius.admission.model import Attempt, Network, PlaceChoice, StalePolicy, Unsettled, Verdict
from troth.radius.admission.service import Decider
from troth.trust.connecting.journal import Journal, Note
from troth.trust.errors import JournalError
from troth.trust.model import Outcome, Truth
from troth.trust.policy.cache import PolicyCache

log = get_logger("radius")

#: Seconds that an attempt waits for what is not settled. Then nothing is answered, and the access server asks again.
PATIENCE = 1.0
#: Seconds that an attempt waits for a lease that has lapsed. Access servers give up after three at the earliest.
HOLD_BACK = 2.5
#: Seconds that a refusal for want of news waits for what may be newer; then it stands.
_SECOND_LOOK = 0.25
#: Seconds after which what is held of a device may be older than what the database has.
_OLD = 10.0


class Admissions:
    """See the module. Belongs to one event loop.

    Args:
        on_open: told when the breaker opens: people are to be called.
    """

    def __init__(
        self,
        decider: Decider,
        policies: PolicyCache,
        journal: Journal,
        clock: Clock,
        *,
        on_open: Callable[[Opened], None] | None = None,
        patience: float = PATIENCE,
        hold_back: float = HOLD_BACK,
    ) -> None:
        self.decider = decider
        self.breaker = Breaker(clock)
        self._policies = policies
        self._journal = journal
        self._clock = clock
        self._on_open = on_open
        self._patience = patience
        self._hold_back = hold_back
        #: (network, outcome, reason) → attempts; and of those that were admitted in spite of something, by what.
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.marked: Counter[tuple[str, str]] = Counter()
        self.dropped = 0
        #: (network, what became of the lease: ``renewed``, ``lapsed``) → attempts that were held back for it.
        self.held_back: Counter[tuple[str, str]] = Counter()

    def network(
        self, *, ssid: str | None, nas: str, port_type: str | None, identity: str | None = None
    ) -> Network | None:
        """The network that is joined, by what the access server says, and by the realm of the outer identity."""
        realm = identity.rpartition("@")[2].lower() if identity and "@" in identity else None
        return self.decider.ground.networks.joined(ssid=ssid, nas=nas, port_type=port_type, realm=realm)

    def decide(self, attempt: Attempt) -> Verdict:
        """The decision alone, at once, from memory. Raises Unsettled."""
        return self.decider.decide(attempt)

    async def admit(self, attempt: Attempt) -> Verdict | None:
        """The verdict; None: nothing certain can be said in time, drop the packet.

        Waits only where something about this very device has just changed, or for the lease. It is the certificate and
        its subjects that are waited for, read in the background for all who wait: no attempt makes a call of its own.
        """
        until = self._clock.monotonic() + self._hold_back
        verdict = await self._settled(attempt, until)
        if verdict is None:
            self.dropped += 1
            return None
        if _wants_news(verdict) and self._clock.monotonic() - verdict.read_at > _OLD:
            # What is unknown for being old may have been observed anew: of that alone no event tells.
            for one in verdict.subjects:
                if not one.fresh:
                    self.decider.table.doubts.refresh(one.id.bytes)
            await self.decider.table.settled(verdict.subjects[0].id.bytes, _SECOND_LOOK)
            # Decided again in any case: in that time anything may have come.
            verdict = await self._settled(attempt, until)
            if verdict is None:
                self.dropped += 1
                return None
        return self._weighed(attempt, verdict)

    def holds(self, attempt: Attempt, verdict: Verdict) -> bool:
        """Whether the Accept may still leave. To be asked right before it does, with nothing awaited in between."""
        return self.decider.holds(attempt, verdict)

    async def vouched(self, attempt: Attempt, verdict: Verdict) -> bool:
        """:meth:`holds`, after a lapsed lease was waited for; with nothing awaited between that and the return."""
        until = self._clock.monotonic() + self._hold_back
        while not self.decider.holds(attempt, verdict):
            network = attempt.network
            if network is None or verdict.stale or self.decider.lease.live or not await self._renewed(network, until):
                return False
        return True

    async def _settled(self, attempt: Attempt, until: float) -> Verdict | None:
        """``until``: monotonic time up to which a lapsed lease is waited for."""
        deadline: float | None = None
        while True:
            try:
                verdict = self.decider.decide(attempt)
            except Unsettled as unsettled:
                now = self._clock.monotonic()
                deadline = deadline if deadline is not None else now + self._patience
                left = deadline - now
                if left <= 0 or not await self.decider.table.settled(unsettled.key, left):
                    return unsettled.otherwise
                continue
            network = attempt.network
            if network is None or not (verdict.stale or verdict.reason == STALE.code):
                return verdict
            if not await self._renewed(network, until):
                return verdict
            attempt = replace(attempt, at=self._clock.now())

    async def _renewed(self, network: Network, until: float) -> bool:
        """Wait for the lease; False: it is not renewed in time, and the stale policy has the word."""
        lease = self.decider.lease
        if network.stale is not StalePolicy.REJECT:  # in a long outage such a network does not make everybody wait
            until = min(until, lease.until + self._hold_back)
        left = until - self._clock.monotonic()
        if left <= 0:
            return False
        renewed = await lease.current(left)
        self.held_back[network.name, "renewed" if renewed else "lapsed"] += 1
        return renewed

    def _weighed(self, attempt: Attempt, verdict: Verdict) -> Verdict:
        network = attempt.network
        if network is not None and verdict.subjects:
            device = verdict.subjects[0].id.bytes
            opened = self.breaker.weigh(network, device, verdict)
            if opened is not None:
                log.error("admission.breaker_opened", network=network.name, reason=opened.reason, hit=opened.refused)
                if self._on_open is not None:
                    self._on_open(opened)
            before = self.breaker.excuses(network, device, verdict)
            if before is not None:
                verdict = self._excused(network, verdict, before)
        name = network.name if network is not None else ""
        self.counts[name, verdict.outcome.value, verdict.reason] += 1
        for mark, set_ in (("stale", verdict.stale), ("unchecked", verdict.unchecked), ("excused", verdict.excused)):
            if set_ and verdict.admitted:
                self.marked[name, mark] += 1
        return verdict

    def _excused(self, network: Network, verdict: Verdict, before: Outcome) -> Verdict:
        """``verdict`` as the policy has it while a feed is down: its own ruling, or the last word for a while."""
        least = max((decision.standing_floor for decision, _ in verdict.decisions), default=Outcome.DENY)
        rulings = []
        for decision, _ in verdict.decisions:
            policy = self._policies.policies.get(decision.policy or "")
            if policy is None:
                return verdict
            sources = {seen.source for one in decision.conditions if one.result is not Truth.TRUE for seen in one.seen}
            rules = [policy.feed(source) for source in sorted(sources)] or [policy.feed_default]
            rulings += [rule.ruling.outcome for rule in rules if rule.ruling is not None]
        outcome = max(rulings) if rulings else max(before, Outcome.RESTRICT)
        outcome = max(outcome, least)
        place = network.place_for(outcome)
        if outcome >= verdict.outcome or place is None:
            return verdict
        return replace(
            verdict, outcome=outcome, excused=verdict.reason, place=PlaceChoice(place), session_time=network.shortest
        )

    async def record(
        self,
        attempt: Attempt,
        verdict: Verdict,
        timeline: Iterable[tuple[float, str]],
        *,
        notes: Sequence[Note] = (),
    ) -> Conversation:
        """Write down what happened. Of an admission it is durable when this comes back; raises JournalError: no Accept.

        ``notes``: of others, in the same write.

        A denial waits for nothing: one that is lost has let nobody in.
        """
        made = conversation(attempt, verdict, timeline)
        actor = f"radius:{made.network or 'none'}"
        refs = (f"conversation:{made.id}", f"nas:{made.nas}")
        try:
            durable = self._journal.append(
                verdict.decisions, actor=actor, refs=refs, notes=((NOTE, encode(made)), *notes)
            )
        except JournalError:
            if verdict.admitted:
                raise
            log.error("admission.not_recorded", correlation=made.correlation)
            return made
        if verdict.admitted:
            await durable
        else:
            durable.add_done_callback(_heard)
        return made

    def note(self, attempt: Attempt, notes: Sequence[Note]) -> None:
        """Write down ``notes`` of others alone; nobody waits for it."""
        name = attempt.network.name if attempt.network is not None else "none"
        try:
            self._journal.append((), actor=f"radius:{name}", notes=notes).add_done_callback(_heard)
        except JournalError:
            log.error("admission.not_recorded", correlation=attempt.correlation)


def _heard(durable: asyncio.Future[None]) -> None:
    if not durable.cancelled() and (error := durable.exception()) is not None:
        log.error("admission.not_recorded", error=str(error))


def _wants_news(verdict: Verdict) -> bool:
    """Whether it is only for want of news that it is not better."""
    return verdict.outcome is not Outcome.ALLOW and any(
        one.result is Truth.UNKNOWN for decision, _ in verdict.decisions for one in decision.conditions
    )
