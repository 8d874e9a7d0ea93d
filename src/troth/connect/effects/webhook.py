"""Webhooks that we send: the Standard Webhooks specification 1.0, as we ask it of those who send to us.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

``webhook-id`` is the effect's id, the same at every try, so that a receiver can pass a repetition over; ``version``
counts the subject's changes, so that it can pass over what is older than it knows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from troth.connect.effects.targets import Posts, Targets, post, target_of
from troth.connect.webhook.signature import sign
from troth.kit.clock import Clock
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.outbox.reactions import WebhookTarget

#: "410 Gone": the receiver wants no more of them (Standard Webhooks, operational considerations).
_GONE: Final = frozenset({410})


class WebhookPort:
    """``webhook``."""

    def __init__(self, targets: Targets, http: Posts, clock: Clock) -> None:
        self._targets = targets
        self._http = http
        self._clock = clock

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        target = await target_of(self._targets, effect.target, WebhookTarget)
        secret = await self._targets.secret(effect.target)
        if secret is None:
            return Outcome.refused(f"target {effect.target} has no secret: `troth effect secret {effect.target}`")
        now, body = self._clock.now(), body_of(effect)
        message_id, stamp = f"eff_{effect.id.hex}", int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "Troth",
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(secret, message_id, stamp, body),
        }
        return await post(self._http, target.url, headers, body, now=now, gone=_GONE)


def body_of(effect: Effect) -> bytes:
    """``standing.changed``, ``decision.made`` or an alarm's own type, the same bytes at every try."""
    notice = effect.notice
    if notice.alarm is not None:
        told = {"effect_id": effect.id, "about": {"kind": notice.kind, "name": notice.name}, **notice.alarm.data}
        return msgspec.json.encode({"type": notice.alarm.event, "timestamp": effect.planned_at, "data": told})
    if notice.decision:
        subject = {"id": effect.subject_id, "kind": notice.kind, "name": notice.name}
        data = {"effect_id": effect.id, "subject": subject, "decision": notice.decision}
        return msgspec.json.encode({"type": "decision.made", "timestamp": effect.planned_at, "data": data})
    return msgspec.json.encode(
        {
            "type": "standing.changed",
            "timestamp": effect.planned_at,
            "data": {
                "effect_id": effect.id,
                "subject": {"id": effect.subject_id, "kind": notice.kind, "name": notice.name},
                "standing": {"before": notice.before, "after": notice.after, "version": notice.version},
                "causes": notice.causes,
                "signal_id": effect.signal_id,
                "actor": effect.actor,
                "accepted_at": effect.accepted_at,
            },
        }
    )
