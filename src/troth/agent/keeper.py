"""One certificate, kept: what is there, what is to be there, and the next step between the two.

:meth:`Keeper.tend` looks and does what is due. All that it knows it reads from its directory, so that it does not
matter when it was killed; each step of an attempt is written down before the next one begins.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from cryptography import x509

from troth.agent import fit, forms
from troth.agent.config import Identifier, identifiers
from troth.agent.delivery import Delivery
from troth.agent.errors import KEY_MISSING, NO_PREVIOUS, NOT_DONE, UNFIT, AgentError, KeyTrouble
from troth.agent.generations import Generations, Meta
from troth.agent.keys.model import HeldKey, KeyPlace
from troth.agent.schedule import LAST_TENTH, Lifetime, ask_again, pause, renewal
from troth.agent.settings import CertificateSettings, kind_of
from troth.agent.source import Request, Source
from troth.agent.staples import Stapler
from troth.agent.state import Attempt, Record, StateDirectory, Trouble, Wanted, restore, save
from troth.client.transport import Transport
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("agent")

#: How long after a failure to ask the source for its suggestion it is asked again.
_ASK_AFTER_FAILURE = timedelta(hours=1)
#: Nothing is ever put off for longer; what says so was written while the clock was wrong.
_LONGEST = timedelta(hours=25)
#: A clock this far before the certificate's beginning is a wrong clock: a new certificate would not be better.
_BEFORE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Ways:
    """What a keeper works with.

    Attributes:
        anchors: PEM of the roots that chains must lead to, read anew each time.
        transport: opens connections for asking OCSP responders.
        chance: a number from 0 to 1.
    """

    source: Source
    keys: KeyPlace
    anchors: Callable[[], bytes]
    transport: Callable[[], AbstractAsyncContextManager[Transport]]
    clock: Clock
    chance: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Look:
    """What a keeper saw and means to do.

    Attributes:
        attempt: on its way, or None; renew_at, why: when the present one is renewed.
        next: when to look again.
    """

    meta: Meta | None
    leaf: x509.Certificate | None
    attempt: Attempt | None
    record: Record
    renew_at: datetime | None
    why: str
    next: datetime


class Keeper:
    """Keeps one certificate. One call at a time; a second one waits."""

    def __init__(
        self, name: str, issuer: str, settings: CertificateSettings, state: StateDirectory, ways: Ways
    ) -> None:
        self.name = name
        self.settings = settings
        self._ways = ways
        directory = state.certificate(name)
        self.generations = Generations(directory, name, settings.output)
        self.stapler: Stapler | None = None
        if settings.staple is not None:
            self.stapler = Stapler(
                name,
                settings.staple,
                self.generations,
                transport=ways.transport,
                clock=ways.clock,
                chance=ways.chance,
            )
        self._delivery = Delivery(name, settings, self.generations, self.stapler, ways.keys)
        self._attempt_file, self._record_file = directory / "attempt.json", directory / "record.json"
        self._identifiers: tuple[Identifier, ...] = identifiers(settings.names)
        held = f"{kind_of(settings.key)} {settings.key.type}"
        self._wanted = Wanted(issuer, tuple(sorted(settings.names)), settings.profile, held)
        self._gate = asyncio.Lock()
        self._tidy = False

    async def tend(self) -> Look:
        """Do what is due. What fails is written down and tried again later; only the disk's failures are raised."""
        async with self._gate:
            return await self._tend()

    async def staple(self) -> datetime | None:
        """Have a fresh staple if one is due; when the next one is. None if this certificate has none."""
        if self.stapler is None:
            return None
        async with self._gate:
            if self.generations.current is not None and self.stapler.due() <= self._ways.clock.now():
                await self._delivery.restaple()
            return self.stapler.due()

    async def renew(self) -> Look:
        """Renew now, or try again now what failed. Raises TrothError with what went wrong."""
        async with self._gate:
            record = msgspec.structs.replace(self._record(), not_before=None, held=False)
            save(self._record_file, record)
            if self._attempt() is None:
                self._begin("a person asked for it", self._present()[0])
            look = await self._tend()
            if look.attempt is not None and look.record.trouble is not None:
                raise AgentError(NOT_DONE, f"{look.record.trouble.code}: {look.record.trouble.detail}")
            return look

    async def roll_back(self) -> Look:
        """Have consumers use the generation before. Raises AgentError."""
        async with self._gate:
            current = self.generations.current
            before = [one for one in self.generations.numbers() if current is not None and one < current.number]
            if current is None or not before:
                raise AgentError(NO_PREVIOUS, f"{self.name} has no certificate before this one")
            save(self._attempt_file, None)
            save(self._record_file, Record(draw=self._ways.chance(), held=True))
            await self._delivery.take_back(before[-1])
            return self.look()

    def look(self) -> Look:
        """How it is, with nothing done. Raises AgentError."""
        now = self._ways.clock.now()
        record, attempt, (meta, leaf) = self._record(), self._attempt(), self._present()
        wait = record.not_before if record.not_before and _put_off(record.not_before, now) else now
        if leaf is None:
            return Look(meta, leaf, attempt, record, None, "", wait)
        lifetime = _lifetime(leaf)
        renew_at, why = renewal(lifetime, record.window, record.draw, self.settings.renew_at)
        if record.held:
            renew_at, why = lifetime.after(1 - LAST_TENTH), "a person rolled back; it is renewed when its end is near"
        due = now if attempt is not None else renew_at
        asked = record.ask_again if record.ask_again and _put_off(record.ask_again, now) else now
        return Look(meta, leaf, attempt, record, renew_at, why, max(min(due, asked), wait))

    async def _tend(self) -> Look:
        now = self._ways.clock.now()
        try:
            self._drop_what_nobody_wants()
            look = self.look()
            if not self._tidy and look.attempt is None:
                await self._prune(look.meta, 0)
            if look.attempt is None:
                self.generations.mend()
                look = await self._ask(look)
                why = self._due(look, now)
                if why:
                    self._begin(why, look.meta)
            attempt = self._attempt()
            if attempt is not None and not _put_off(look.record.not_before, now):
                await self._proceed(attempt, look.meta)
        except TrothError as error:
            self._failed(error)
        return self.look()

    # When.

    def _due(self, look: Look, now: datetime) -> str:
        """Why an attempt is to begin now; nothing if none is."""
        if look.meta is None or look.leaf is None:
            return "there is none yet"
        if look.meta.wanted != self._wanted:
            return "the configuration asks for another one"
        if look.meta.outputs != self.generations.digest:
            return "the configuration asks for other forms"
        if now < look.leaf.not_valid_before_utc - _BEFORE:
            log.error("agent.clock_behind", certificate=self.name, now=now.isoformat())
            return ""
        return look.why if look.renew_at is not None and now >= look.renew_at else ""

    async def _ask(self, look: Look) -> Look:
        """Ask the source when to renew, if it is time to ask. That nobody answers changes nothing."""
        now, record = self._ways.clock.now(), look.record
        if look.leaf is None or _put_off(record.ask_again, now):
            return look
        try:
            suggestion = await self._ways.source.suggest(look.leaf)
        except TrothError as error:
            log.info("agent.no_suggestion", certificate=self.name, detail=error.detail)
            record = msgspec.structs.replace(record, ask_again=now + _ASK_AFTER_FAILURE)
        else:
            window, asked = (suggestion.window, suggestion.retry_after) if suggestion else (None, 0.0)
            if window != record.window:
                told = f"{window.start.isoformat()}/{window.end.isoformat()}" if window else "none"
                log.info("agent.suggestion", certificate=self.name, window=told)
            record = msgspec.structs.replace(record, window=window, ask_again=now + ask_again(asked))
        save(self._record_file, record)
        return self.look()

    # An attempt.

    def _begin(self, why: str, meta: Meta | None) -> None:
        now = self._ways.clock.now()
        attempt = self._fresh(why)
        if meta is not None and meta.wanted == self._wanted:
            if meta.outputs != self.generations.digest:
                # Only the forms are others: the same certificate is installed anew, and nobody is asked for one.
                chain = self.generations.chain(meta.number)
                attempt = Attempt(self._wanted, meta.label, now, why, "obtained", chain=chain, previous=meta.number)
            else:
                leaf = forms.leaf_of(self.generations.chain(meta.number))
                kept = meta.label if self.settings.key.reuse else attempt.label
                attempt = msgspec.structs.replace(attempt, replaces=leaf, label=kept)
        log.info("agent.begin", certificate=self.name, why=why)
        save(self._attempt_file, attempt)

    def _fresh(self, why: str) -> Attempt:
        now = self._ways.clock.now()
        return Attempt(self._wanted, f"{self.name}-{now:%Y%m%dT%H%M%S}-{os.urandom(3).hex()}", now, why)

    async def _proceed(self, attempt: Attempt, meta: Meta | None) -> None:
        """Take ``attempt`` to its end. Raises TrothError where it stops."""
        attempt = await self._obtain(attempt)
        attempt = await self._stage(attempt, meta)
        await self._delivery.deliver(attempt.generation, attempt.previous)
        self._finish(attempt)
        await self._prune(self.generations.current, attempt.previous)

    def _drop_what_nobody_wants(self) -> None:
        attempt = self._attempt()
        if attempt is not None and attempt.wanted != self._wanted:
            log.info("agent.abandoned", certificate=self.name, why="the configuration asks for another one")
            save(self._attempt_file, None)

    async def _obtain(self, attempt: Attempt) -> Attempt:
        if attempt.phase != "keyed":
            return attempt
        key = await self._key(attempt.label)
        written = [attempt]

        def remember(bookmark: Mapping[str, str]) -> None:
            written[0] = msgspec.structs.replace(written[0], bookmark=dict(bookmark))
            save(self._attempt_file, written[0])

        current = self.generations.current
        present = self.generations.path(current.number) if current is not None else None
        request = Request(self._identifiers, self.settings.profile, self.settings.challenge, attempt.replaces, present)
        chains = await self._ways.source.obtain(request, key, attempt.bookmark, remember)
        try:
            chain = self._fitting(chains, key)
        except AgentError as error:
            if not error.facts.get("early"):
                remember({})  # the order is used up; the next try makes another
            raise
        attempt = msgspec.structs.replace(written[0], phase="obtained", chain=chain.decode("ascii"))
        save(self._attempt_file, attempt)
        return attempt

    def _fitting(self, chains: Sequence[bytes], key: HeldKey) -> bytes:
        """The first of ``chains`` that is what was asked for. Raises AgentError with what is wrong with the first."""
        anchors, now = self._ways.anchors(), self._ways.clock.now()
        expected = fit.Expected(key.public_key, self._identifiers, self.settings.purposes, anchors, now)
        wrong: AgentError | None = None
        for chain in chains:
            try:
                fit.check(chain, expected)
            except AgentError as error:
                wrong = wrong or error
            else:
                return chain
        raise wrong or AgentError(UNFIT, "no certificate came")

    async def _key(self, label: str) -> HeldKey:
        """The key of this attempt: the one that was made before a kill, or a new one."""
        try:
            return await asyncio.to_thread(self._ways.keys.load, label)
        except KeyTrouble as error:
            if error.reason is not KEY_MISSING:
                raise
        return await asyncio.to_thread(self._ways.keys.create, label, self.settings.key.type)

    async def _stage(self, attempt: Attempt, meta: Meta | None) -> Attempt:
        if attempt.phase == "staged":
            staged = self.generations.meta(attempt.generation)
            if staged is not None and staged.outputs == self.generations.digest:
                return attempt
        lifetime = _lifetime(fit.read_chain(attempt.chain.encode())[0])
        if lifetime.left(self._ways.clock.now()) <= timedelta(0):
            save(self._attempt_file, None)
            raise AgentError(UNFIT, "the certificate ended before it could be installed; another one is asked for")
        try:
            key = await asyncio.to_thread(self._ways.keys.load, attempt.label)
        except KeyTrouble as error:
            if error.reason is KEY_MISSING:  # a certificate without its key is nothing
                save(self._attempt_file, self._fresh(attempt.why))
            raise
        number = self.generations.next_number()
        made = Meta(number, attempt.wanted, attempt.label, self.generations.digest, self._ways.clock.now())
        self.generations.stage(made, attempt.chain, key.access())
        previous = meta.number if meta is not None else 0
        attempt = msgspec.structs.replace(attempt, phase="staged", generation=number, previous=previous)
        save(self._attempt_file, attempt)
        return attempt

    def _finish(self, attempt: Attempt) -> None:
        now = self._ways.clock.now()
        save(self._record_file, Record(draw=self._ways.chance(), proved_at=now))
        save(self._attempt_file, None)
        log.info("agent.installed", certificate=self.name, generation=attempt.generation, why=attempt.why)

    async def _prune(self, current: Meta | None, previous: int) -> None:
        """Keep the present generation and the one before; of the others not even the keys."""
        numbers = self.generations.numbers()
        if current is not None:
            before = previous or max((one for one in numbers if one < current.number), default=0)
            gone = self.generations.prune({current.number, before})
            kept = {meta.label for one in (current.number, before) if (meta := self.generations.meta(one))}
            for label in {meta.label for meta in gone} - kept:
                await asyncio.to_thread(self._ways.keys.remove, label)
        self._tidy = True

    # What is written down.

    def _failed(self, error: TrothError) -> None:
        now, record = self._ways.clock.now(), self._record()
        _, leaf = self._present()
        left = _lifetime(leaf).left(now) if leaf else timedelta(0)
        failures = record.failures + 1
        wait = pause(failures, left, self._ways.chance(), float(getattr(error, "retry_after", 0.0) or 0.0))
        tell = log.error if left < timedelta(days=7) else log.warning
        tell("agent.failed", certificate=self.name, code=error.code, detail=error.detail, failures=failures,
             again_in=round(wait.total_seconds()), ends_in=round(left.total_seconds()))  # fmt: skip
        record = msgspec.structs.replace(
            record, failures=failures, not_before=now + wait, trouble=Trouble(error.code, error.detail, now)
        )
        save(self._record_file, record)

    def _present(self) -> tuple[Meta, x509.Certificate] | tuple[None, None]:
        """The generation in use; one that somebody has damaged is none, and another takes its place."""
        meta = self.generations.current
        if meta is None:
            return None, None
        try:
            return meta, fit.read_chain(self.generations.chain(meta.number).encode())[0]
        except (AgentError, UnicodeDecodeError) as error:
            log.error("agent.generation_damaged", certificate=self.name, generation=meta.number, error=str(error))
            return None, None

    def _attempt(self) -> Attempt | None:
        return restore(self._attempt_file, Attempt)

    def _record(self) -> Record:
        return restore(self._record_file, Record) or Record()


def _put_off(until: datetime | None, now: datetime) -> bool:
    """Whether something waits until ``until``; a time that a wrong clock wrote down does not count."""
    return until is not None and now < until <= now + _LONGEST


def _lifetime(leaf: x509.Certificate) -> Lifetime:
    return Lifetime(leaf.not_valid_before_utc, leaf.not_valid_after_utc)
