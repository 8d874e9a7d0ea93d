"""The transmitter's own keys: RSA of 2,048 bits for RS256, as the interoperability profile wants them.

They sign security event tokens and nothing else, and certify nobody: they lie sealed in the database and are opened by
the processes that send. A new one is published a day before it signs, and an old one for a week after.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from troth.audit.event import Event
from troth.client.compact import signed
from troth.client.jose import SigningKey
from troth.connect.ssf.secevent import TYPE
from troth.connect.ssf.transmitter import store
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Unit

#: How long a key signs, how long it is known before, and how long after.
LIFE: Final = timedelta(days=90)
AHEAD: Final = timedelta(days=1)
AFTER: Final = timedelta(days=7)


class TransmitterKeyring:
    """Signs tokens. ``ensure`` is the worker's; everybody may ask for the public keys."""

    def __init__(self, database: Database, clock: Clock, box: SecretBox, *, bits: int = 2048) -> None:
        self._database = database
        self._clock = clock
        self._box = box
        self._bits = bits
        self._opened: dict[str, SigningKey] = {}

    async def ensure(self) -> None:
        """See that there is a key that signs, and the next in time; drop what nobody verifies by any more."""
        now, known = self._clock.now(), await store.keys(self._database)
        newest = known[-1][3] if known else None
        if newest is None or now >= newest + LIFE - AHEAD:
            await self._make(now, first=newest is None)
        for (kid, *_), following in itertools.pairwise(known):
            if now >= following[3] + AHEAD + AFTER:
                unit = Unit().write(store.DROP_KEY, kid)
                unit.record(Event("ssf.key_dropped", "system:ssf", (), {"kid": kid}))
                await self._database.commit(unit)
                self._opened.pop(kid, None)

    async def _make(self, now: datetime, *, first: bool) -> None:
        made = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65537, key_size=self._bits)
        key, kid = SigningKey.wrap(made), new_id().hex
        der = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        jwk = {**key.public.jwk, "kid": kid, "use": "sig", "alg": "RS256"}
        # The first signs at once: nobody has fetched the set before.
        at = now - AHEAD if first else now
        unit = Unit().claim(
            store.ADD_KEY, kid, self._box.seal(kid, der), msgspec.json.encode(jwk).decode(), at, refuse=ValueError(kid)
        )
        unit.record(Event("ssf.key_made", "system:ssf", (), {"kid": kid}))
        await self._database.commit(unit)

    async def jwks(self) -> Mapping[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [dict(jwk) for _, _, jwk, _ in await store.keys(self._database)]}

    async def _in_use(self) -> list[tuple[str, bytes]]:
        now = self._clock.now()
        return [(kid, sealed) for kid, sealed, _, at in await store.keys(self._database) if at + AHEAD <= now]

    async def token(self, claims: Mapping[str, Any]) -> str:
        """A token over ``claims`` by the key whose time it is."""
        known = await self._in_use()
        if not known:
            await self.ensure()
            known = await self._in_use()
        kid, sealed = known[-1]
        key = self._opened.get(kid)
        if key is None:
            private = cast("rsa.RSAPrivateKey", load_der_private_key(self._box.open(kid, sealed), None))
            key = self._opened[kid] = SigningKey.wrap(private)
        return signed(key, {"typ": TYPE, "kid": kid}, claims)
