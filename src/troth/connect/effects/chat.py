"""Chat rooms, by their incoming webhooks: Slack's JSON (Mattermost and Rocket.Chat take it too), Teams', Google's.

The address is a secret. A chat room cannot tell a repetition: after a crash between sending and writing down that it
was sent, the same words may stand there twice, with the same effect id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from troth.connect.effects.targets import Posts, Targets, post, target_of
from troth.connect.effects.words import lines
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.outbox.reactions import ChatTarget

#: The room or its webhook was taken away, or the address is none.
_GONE: Final = frozenset({400, 401, 403, 404, 410})


class ChatPort:
    """``notify`` for targets of kind ``chat``."""

    def __init__(self, targets: Targets, http: Posts, clock: Clock) -> None:
        self._targets = targets
        self._http = http
        self._clock = clock

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`."""
        target = await target_of(self._targets, effect.target, ChatTarget)
        secret = await self._targets.secret(effect.target)
        if secret is None:
            return Outcome.refused(f"target {effect.target} has no address: `troth effect secret {effect.target}`")
        body = msgspec.json.encode(_STYLES[target.style](lines(effect, subject)))
        headers = {"content-type": "application/json", "user-agent": "Troth"}
        return await post(self._http, secret.decode(), headers, body, now=self._clock.now(), gone=_GONE)


def _slack(text: Sequence[str]) -> Json:
    # Slack: these three are control characters of its markup; escaped, no name can mention a channel or make a link.
    escaped = "\n".join(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "mrkdwn": False}


def _teams(text: Sequence[str]) -> Json:
    blocks: list[Json] = [{"type": "TextBlock", "text": _unmarked(line), "wrap": True} for line in text]
    card: Json = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _google(text: Sequence[str]) -> Json:
    return {"text": "\n".join(_unmarked(line) for line in text)}


def _unmarked(line: str) -> str:
    """Without what Markdown or Google's ``<users/all>`` would make links and mentions of."""
    return line.translate({ord("<"): "‹", ord(">"): "›", ord("["): "(", ord("]"): ")", ord("`"): "'"})


_STYLES: Final[Mapping[str, Callable[[Sequence[str]], Json]]] = {"slack": _slack, "teams": _teams, "google": _google}
