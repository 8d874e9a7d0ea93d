"""A target that remembers what it was asked, and fails when told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from troth.trust.outbox.model import Effect, EffectSubject, Outcome


@dataclass
class Asked:
    """One try, as the target saw it."""

    id: UUID
    port: str
    subject: str
    version: int


@dataclass
class RecordingPort:
    """An EffectPort that keeps what it was asked. ``answers`` are given in turn; then everything is done."""

    answers: list[Outcome | Exception] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: Where tries wait until the test lets them go on.
    gate: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        self.asked.append(Asked(effect.id, effect.port, subject.name, effect.notice.version))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else Outcome.done("as asked")
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ports(self) -> list[str]:
        return [one.port for one in self.asked]

    @property
    def repeated(self) -> list[UUID]:
        """Effects that were asked for more than once."""
        return [effect_id for effect_id, times in Counter(one.id for one in self.asked).items() if times > 1]
