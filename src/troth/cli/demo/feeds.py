"""The invented systems that watch the fleet, speaking through the signed webhook as any real one would."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from troth.cli.demo.errors import SIGNAL_REFUSED, DemoError
from troth.client.transport import Transport
from troth.connect.webhook.signature import sign
from troth.kit.clock import Clock
from troth.kit.ids import new_id


class Taken(msgspec.Struct, frozen=True):
    """Troth's answer to a signal it took."""

    signal_id: str
    standing: str | None
    staged: bool
    effects: tuple[str, ...]


class Feed:
    """One such system.

    Args:
        secret: as Troth showed it when the feed was made: ``whsec_`` and base64.
        url: base of the https listener.
    """

    def __init__(self, name: str, secret: str, *, url: str, transport: Transport, clock: Clock) -> None:
        self.name = name
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))
        self._url = f"{url}/signals/{name}"
        self._transport = transport
        self._clock = clock

    async def say(self, kind: str, device: str, evidence: str = "") -> Taken:
        """Send one signal about ``device``. Raises DemoError when it is refused."""
        now = self._clock.now()
        message = {
            "kind": kind,
            "subject": {"kind": "device", "name": device},
            "observed_at": now.isoformat(),
            "evidence": evidence,
        }
        body, message_id = msgspec.json.encode(message), str(new_id())
        stamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(self._secret, message_id, stamp, body),
        }
        answer = await self._transport.request("POST", self._url, body=body, headers=headers)
        if answer.status != 202:
            raise DemoError(SIGNAL_REFUSED, f"{kind} about {device}: {answer.body.decode(errors='replace')[:500]}")
        return msgspec.json.decode(answer.body, type=Taken)


def feeds_of(secrets: Mapping[str, str], *, url: str, transport: Transport, clock: Clock) -> dict[str, Feed]:
    """The feeds whose secrets are ``secrets``, by name."""
    return {name: Feed(name, secret, url=url, transport=transport, clock=clock) for name, secret in secrets.items()}
