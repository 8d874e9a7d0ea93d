"""What people do with effects and reactions: look, apply, try again, drop, give targets their secrets."""

from __future__ import annotations

import base64
import difflib
import hashlib
import secrets as random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.kit.sealing import SealBroken, SecretBox
from troth.store.pool import URGENT_CHANNEL, Database
from troth.store.unit import Reader, Unit
from troth.trust.outbox import store
from troth.trust.outbox.document_store import ADD_VERSION, SET_SECRET, DocumentStore, ReactionVersion
from troth.trust.outbox.errors import (
    EFFECT_NOT_OPEN,
    EFFECT_UNKNOWN,
    REACTIONS_CHANGED,
    SECRET_INVALID,
    TARGET_UNKNOWN,
    EffectNotOpen,
    EffectUnknown,
    ReactionsChanged,
    SecretInvalid,
    TargetUnknown,
)
from troth.trust.outbox.model import Effect, EffectState
from troth.trust.outbox.reactions import (
    ChatTarget,
    MailTarget,
    Reactions,
    Target,
    ViciTarget,
    WebhookTarget,
    parse_reactions,
    shipped,
)
from troth.trust.standing import Standing

#: What may be set going again, and what may be dropped.
_ENDED_BADLY: Final = (EffectState.DEAD, EffectState.UNAVAILABLE, EffectState.DROPPED)
_DROPPABLE: Final = (EffectState.WAITING, EffectState.DEAD, EffectState.UNAVAILABLE)
_MOST: Final = 4_096
_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class ReactionPlan:
    """What applying a document would do. ``diff`` is empty if nothing changes."""

    reactions: Reactions
    source: str
    sha256: str
    before: ReactionVersion | None
    diff: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to apply."""
        return self.before is None or self.before.sha256 != self.sha256


class EffectDesk:
    """Effects and reactions of this installation. ``box`` seals the secrets of targets."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self.documents = DocumentStore(database)
        self._lookups = DocumentStore(database.lookups)
        self._read: tuple[Reactions, str] | None = None

    # --- reactions ---------------------------------------------------------------------------------------------------

    async def plan(self, text: str) -> ReactionPlan:
        """Validate and compare. Raises ReactionsInvalid."""
        before = await self.documents.newest()
        digest = hashlib.sha256(text.encode()).hexdigest()
        unchanged = before is not None and before.sha256 == digest
        number = (0 if before is None else before.version) + (0 if unchanged else 1)
        old = shipped() if before is None else before.source
        label = "what is shipped" if before is None else f"reactions version {before.version}"
        lines = difflib.unified_diff(
            old.splitlines(), text.splitlines(), label, "reactions as applied now", lineterm=""
        )
        return ReactionPlan(parse_reactions(text, version=number), text, digest, before, "\n".join(lines))

    def unit(self, plan: ReactionPlan, *, actor: str) -> Unit:
        """The write unit that applies ``plan``; its commit raises ReactionsChanged if somebody was faster."""
        version = plan.reactions.version
        changed = ReactionsChanged(REACTIONS_CHANGED, f"version {version} was applied by somebody else")
        unit = Unit().claim(
            ADD_VERSION, version, plan.sha256, plan.source, self._clock.now(), actor,
            refuse=changed, key=ADD_VERSION.name,
        )  # fmt: skip
        targets = sorted(plan.reactions.targets)
        return unit.record(
            Event("reactions.applied", actor, (), {"version": version, "sha256": plan.sha256, "targets": list(targets)})
        )

    async def in_force(self) -> tuple[Reactions, str]:
        """The reactions in force, and their text."""
        version = await self._lookups.newest_number()
        if self._read is None or self._read[0].version != version:
            stored = await self.documents.version(version)
            source = shipped() if stored is None else stored.source
            self._read = parse_reactions(source, version=version), source
        return self._read

    # --- secrets -----------------------------------------------------------------------------------------------------

    async def target(self, name: str) -> Target:
        """The target of that name in the reactions in force. Raises TargetUnknown."""
        reactions, _ = await self.in_force()
        found = reactions.targets.get(name)
        if found is None:
            raise TargetUnknown(TARGET_UNKNOWN, f"there is no target {name[:80]!r}")
        return found

    async def set_secret(self, name: str, given: str | None, *, actor: str, joined: Unit | None = None) -> str | None:
        """Give a target its secret; a webhook's is made here if none is ``given``, and returned this once.

        Raises TargetUnknown, SecretInvalid.
        """
        target = await self.target(name)
        made: str | None = None
        if isinstance(target, WebhookTarget):
            if given is None:
                made = given = _PREFIX + base64.b64encode(random.token_bytes(32)).decode()
            secret = _webhook_secret(given)
        else:
            secret = _given_secret(target, given)
        unit = Unit().write(SET_SECRET, name, self._box.seal(_bound(target), secret), self._clock.now(), actor)
        unit.record(Event("effect_target.secret_changed", actor, (), {"target": name}))
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        return made

    async def secret(self, name: str) -> bytes | None:
        """A target's secret, opened; None if it has none, or one that was given for another server.

        Raises TargetUnknown.
        """
        sealed, target = await self._lookups.secret(name), await self.target(name)
        try:
            return None if sealed is None else self._box.open(_bound(target), sealed)
        except SealBroken:
            return None

    # --- effects -----------------------------------------------------------------------------------------------------

    async def effect(self, effect_id: UUID) -> Effect:
        """One effect. Raises EffectUnknown."""
        found = await store.find(self._database, effect_id)
        if found is None:
            raise EffectUnknown(EFFECT_UNKNOWN, f"there is no effect {effect_id}")
        return found

    async def retry(self, effect_id: UUID, *, actor: str, reason: str = "") -> None:
        """Try an effect that ended without success again, as if for the first time, on a person's word.

        Raises EffectUnknown, and EffectNotOpen also for what the subject's present standing does not ask for any more:
        nobody shall have a device contained that is trusted by now, nor let out one that is quarantined anew.
        """
        effect = await self.effect(effect_id)
        at = self._clock.now()

        async def still(reader: Reader, _unit: Unit) -> None:
            if not effect.acting:
                return
            present, then = await store.standing_of(reader, effect.subject_id), Standing(effect.notice.after)
            if present > then if effect.notice.relieved else present < then:
                raise EffectNotOpen(EFFECT_NOT_OPEN, f"the subject is {present.value} now, and was to be {then.value}")

        unit = self._locked(effect, _ENDED_BADLY).then(still)
        store.again(unit, effect.id, due=at, detail="set going again", fresh=True)
        unit.record(_event("effect.retried", effect, actor, reason))
        await self._database.commit(unit)
        self._database.wake(URGENT_CHANNEL)

    async def drop(self, effect_id: UUID, *, actor: str, reason: str) -> None:
        """Give an effect up. One that is on its way may have been done all the same. Raises EffectUnknown, …NotOpen."""
        effect = await self.effect(effect_id)
        unit = self._locked(effect, _DROPPABLE)
        store.end(unit, effect.id, EffectState.DROPPED, at=self._clock.now(), detail=f"dropped: {reason}")
        unit.record(_event("effect.dropped", effect, actor, reason))
        await self._database.commit(unit)

    def _locked(self, effect: Effect, states: Collection[EffectState]) -> Unit:
        refused = EffectNotOpen(EFFECT_NOT_OPEN, f"effect {effect.id} is {effect.state.value}")
        wanted = " ".join(state.value for state in states)
        return Unit().guard(store.LOCK_STATE, effect.id, wanted, refuse=refused, key=("effect", effect.id))


def _event(kind: str, effect: Effect, actor: str, reason: str) -> Event:
    return Event(
        kind,
        actor,
        effect.refs,
        {"effect_id": str(effect.id), "port": effect.port, "target": effect.target, "reason": reason},
    )


def _bound(target: Target) -> str:
    """What a secret is sealed for. A password is for its server alone: whoever changes that has to know it."""
    return f"{target.name} {target.server} {target.user}" if isinstance(target, MailTarget) else target.name


def _webhook_secret(given: str) -> bytes:
    try:
        secret = base64.b64decode(given.strip().removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise SecretInvalid(SECRET_INVALID, "a webhook's secret is whsec_ and base64") from error
    if not 24 <= len(secret) <= 64:
        raise SecretInvalid(SECRET_INVALID, "a webhook's secret has 24 to 64 bytes (Standard Webhooks 1.0)")
    return secret


def _given_secret(target: Target, given: str | None) -> bytes:
    secret = (given or "").strip()
    if isinstance(target, ViciTarget):
        raise SecretInvalid(SECRET_INVALID, "a VICI socket takes no secret: its file mode says who may speak")
    if not secret or len(secret) > _MOST or not secret.isprintable():
        raise SecretInvalid(SECRET_INVALID, "give the secret as one line of text")
    if isinstance(target, ChatTarget) and not secret.startswith(("https://", "http://")):
        raise SecretInvalid(SECRET_INVALID, "the secret of a chat target is the address of its incoming webhook")
    if isinstance(target, MailTarget) and not target.user:
        raise SecretInvalid(SECRET_INVALID, f"target {target.name} logs in as nobody (`user`), so it has no password")
    return secret.encode()
