"""Which requests are handed on, and what is answered to them.

1. The network's word (``proxy: POOL``) comes first; then the realm of the user name, unless the network was chosen by
   that realm: it is ours then. No pool: not handed on.
2. A name that nobody could route is rejected here (``nai.fault``), and a request that has been through here before is
   dropped: two servers that send a realm to each other would fill each other up.
3. The request crosses the border, with our Proxy-State behind those of others, and gets its answer from the pool.
4. The answer crosses back. Others' users are put into the pool's place, never into one of their home's choice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.radius.nas.model import Nas
from troth.radius.proxy import border, eduroam, nai
from troth.radius.proxy.definition import PoolDefinition, ServerDefinition
from troth.radius.proxy.errors import LOOP, REALM, REPLY, ProxyError
from troth.radius.proxy.pool import Handed, Pool
from troth.radius.proxy.upstream import Making, Upstream
from troth.radius.wire.addresses import mac, safe_text
from troth.radius.wire.errors import PacketRefused
from troth.radius.wire.packet import (
    CALLING_STATION_ID,
    EAP_MESSAGE,
    PROXY_STATE,
    STATE,
    USER_NAME,
    Attribute,
    Code,
    Packet,
)
from troth.radius.wire.signing import Protection, eap_attributes, encode_reply

log = get_logger("radius")

#: Proxies that a request may have been through.
_MOST_HOPS: Final = 16
_ERROR_CAUSE: Final = 101
#: RFC 5176 section 3.5: Request Not Routable (Proxy); in a Reject by RFC 9765 section 6.5.
_NOT_ROUTABLE: Final = (502).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that was handed on.

    Attributes:
        reply: to send back, encoded; None: nothing, the access server asks again.
        words: for its timeline.
    """

    pool: str
    server: str
    code: int | None
    reason: str
    words: str
    reply: bytes | None


class Placing(Protocol):
    """What a place in the network means to an access server (``troth.radius.places``)."""

    def __call__(self, place: str, nas: Nas, request: Packet) -> Sequence[Attribute]:
        """Attributes for an Accept. Raises ProxyError where there is no such place."""
        ...


#: Makes the server of a definition: (pool's name, server, called for each reply that is not believed).
Connecting = Callable[[str, ServerDefinition, Callable[[str], None]], Upstream]


class Proxies:
    """See the module. Belongs to one event loop.

    Args:
        tag: eight octets of this installation, the same in all its processes: by them a request is known that comes
            round again.
        f_ticks_key: under which devices stand in F-Ticks.
    """

    def __init__(
        self,
        connect: Connecting,
        placing: Placing,
        clock: Clock,
        *,
        tag: bytes,
        f_ticks_key: bytes = b"",
    ) -> None:
        self._connect = connect
        self._placing = placing
        self._clock = clock
        self._tag = tag
        self._f_ticks_key = f_ticks_key
        self._pools: dict[str, Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()
        #: (pool, what became of it) → how often.
        self.counted: Counter[tuple[str, str]] = Counter()

    # --- pools -------------------------------------------------------------------------------------------------

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Those in force."""
        return self._pools

    def replace(self, definitions: Iterable[PoolDefinition], *, changed: Iterable[str] = ()) -> None:
        """Bring other definitions into force. Pools that are the same keep their servers, and what is known of them.

        ``changed``: pools whose secrets are others by now.
        """
        anew, kept = set(changed), dict[str, Pool]()
        for one in definitions:
            known = self._pools.pop(one.name, None)
            if known is not None and known.definition == one and one.name not in anew:
                kept[one.name] = known
                continue
            if known is not None:
                self._end(known)
            refused = self._refused(one.name)
            kept[one.name] = Pool(
                one, [self._connect(one.name, server, refused) for server in one.servers], self._clock
            )
        for gone in self._pools.values():
            self._end(gone)
        self._pools = kept

    async def close(self) -> None:
        """End every pool."""
        self.replace(())
        await asyncio.gather(*self._closing)

    def _end(self, pool: Pool) -> None:
        task = asyncio.create_task(pool.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _refused(self, pool: str) -> Callable[[str], None]:
        def count(code: str) -> None:
            self.counted[pool, code] += 1

        return count

    # --- requests ----------------------------------------------------------------------------------------------

    def chosen(self, user_name: bytes | None, *, network_pool: str | None, by_realm: bool) -> Pool | None:
        """The pool that a request is handed on to; None: it is ours.

        ``network_pool``: what the network says. ``by_realm``: the network was chosen by the realm of this name, so
        without a word of its own it is decided here.
        """
        if network_pool is not None:
            return self._pools.get(network_pool)
        if by_realm or not self._pools:
            return None
        found = nai.parse(user_name or b"")
        realm = found.realm if found is not None else ""
        best: tuple[tuple[int, int], Pool] | None = None
        for pool in self._pools.values():
            weight = pool.definition.weight(realm)
            if weight is not None and (best is None or weight > best[0]):
                best = weight, pool
        return best[1] if best is not None else None

    async def access(self, pool: Pool, packet: Packet, nas: Nas, protection: Protection) -> Outcome:
        """Hand an Access-Request on. Raises PacketRefused for one that cannot be read or would be too long."""
        definition = pool.definition
        name = packet.first(USER_NAME) or b""
        shown = safe_text(name, most=80)
        whose = nai.parse(name)
        wrong = "it is no text" if whose is None else nai.fault(whose) if definition.foreign else None
        if wrong is not None:
            return self._reject(pool, packet, protection, REALM.code, f"{shown!r}: {wrong}; rejected here")
        if self._been_here(packet):
            self.counted[definition.name, LOOP.code] += 1
            log.warning("proxy.loop", pool=definition.name, nas=nas.name, user=shown)
            return Outcome(definition.name, "", None, LOOP.code, "it has been through here before; dropped", None)
        asking = self._making(pool, packet, protection, whose)
        try:
            handed = await pool.hand_on(
                Code.ACCESS_REQUEST, asking, state=packet.first(STATE), affinity=_affinity(packet, nas)
            )
        except ProxyError as error:
            self.counted[definition.name, error.code] += 1
            return Outcome(
                definition.name, "", None, error.code, f"handed to pool {definition.name}: {error.detail}", None
            )
        try:
            reply = self._reply(pool, packet, nas, protection, handed)
        except (PacketRefused, ProxyError) as error:
            self.counted[definition.name, REPLY.code] += 1
            log.warning("proxy.reply_refused", server=handed.server, reason=error.code, detail=error.detail)
            words = f"handed to pool {definition.name}, whose server {handed.server} said something that cannot be used"
            return Outcome(definition.name, handed.server, None, REPLY.code, f"{words}: {error.detail}", None)
        except TrothError as error:
            # Accepted there, and nobody can say here where it belongs: then it belongs nowhere.
            words = f"handed to pool {definition.name}, accepted by {handed.server}, but rejected here: {error.detail}"
            return self._reject(pool, packet, protection, error.code, words)
        code = handed.answered.packet.code
        said = _SAID.get(code, f"code {code}")
        self.counted[definition.name, said] += 1
        if code != Code.ACCESS_CHALLENGE:
            self._tick(
                definition, whose.realm if whose is not None else "", packet, accepted=code == Code.ACCESS_ACCEPT
            )
        words = f"handed to pool {definition.name}, answered {said} by {handed.server}"
        return Outcome(definition.name, handed.server, code, "", words, reply)

    async def accounting(self, pool: Pool, packet: Packet, nas: Nas, protection: Protection) -> bool:
        """Tell the pool of accounting that has been taken down here; whether it was acknowledged.

        The access server is answered for our own record, not for theirs: what they lose is counted.
        """
        if not pool.definition.accounting or self._been_here(packet):
            return False
        whose = nai.parse(packet.first(USER_NAME) or b"")
        try:
            await pool.hand_on(
                Code.ACCOUNTING_REQUEST, self._making(pool, packet, protection, whose), state=None,
                affinity=_affinity(packet, nas),
            )  # fmt: skip
        except (ProxyError, PacketRefused) as error:
            self.counted[pool.definition.name, f"accounting {error.code}"] += 1
            return False
        self.counted[pool.definition.name, "accounting acknowledged"] += 1
        return True

    # --- across the border -------------------------------------------------------------------------------------

    def _been_here(self, packet: Packet) -> bool:
        states = packet.all(PROXY_STATE)
        return len(states) >= _MOST_HOPS or any(one.startswith(self._tag) for one in states)

    def _making(self, pool: Pool, packet: Packet, protection: Protection, whose: nai.Nai | None) -> Making:
        definition = pool.definition
        drop = {border.DROPPABLE[one] for one in definition.send_drop}
        added: list[Attribute] = []
        if definition.operator_name:
            # Ours in place of whatever the access server says: the federation holds us to it.
            drop.add(eduroam.OPERATOR_NAME)
            added.append(eduroam.operator_name(definition.operator_name))
        if definition.chargeable_identity and packet.first(eduroam.CHARGEABLE_USER_IDENTITY) is None:
            added.append((eduroam.CHARGEABLE_USER_IDENTITY, eduroam.ASK))
        added.append((PROXY_STATE, self._tag + secrets.token_bytes(8)))

        def made(authenticator: bytes, onward: Protection) -> Sequence[Attribute]:
            found = border.outward(
                packet.attributes, packet.authenticator, protection, onward, authenticator, drop=drop
            )
            if definition.strip_realm and whose is not None and whose.realm:
                found = [(kind, whose.user.encode() if kind == USER_NAME else value) for kind, value in found]
            return [*found, *added]

        return made

    def _reply(self, pool: Pool, packet: Packet, nas: Nas, protection: Protection, handed: Handed) -> bytes:
        definition, answered = pool.definition, handed.answered
        if answered.packet.code == Code.PROTOCOL_ERROR:
            raise ProxyError(REPLY, "Protocol-Error")
        found = border.inward(
            answered.packet.attributes, answered.authenticator, answered.protection, protection, packet.authenticator,
            foreign=definition.foreign, drop={border.DROPPABLE[one] for one in definition.accept_drop},
        )  # fmt: skip
        if definition.place and answered.packet.code == Code.ACCESS_ACCEPT:
            found += self._placing(definition.place, nas, packet)
        return encode_reply(packet, answered.packet.code, found, protection)

    def _reject(self, pool: Pool, packet: Packet, protection: Protection, reason: str, words: str) -> Outcome:
        self.counted[pool.definition.name, reason] += 1
        said: list[Attribute] = [(_ERROR_CAUSE, _NOT_ROUTABLE)]
        eap = packet.joined(EAP_MESSAGE)
        if len(eap) >= 2:
            # EAP-Failure with the identifier of the response it answers (RFC 3748 section 4.2).
            said += eap_attributes(bytes((4, eap[1], 0, 4)))
        reply = encode_reply(packet, Code.ACCESS_REJECT, said, protection)
        return Outcome(pool.definition.name, "", Code.ACCESS_REJECT, reason, words, reply)

    def _tick(self, definition: PoolDefinition, realm: str, packet: Packet, *, accepted: bool) -> None:
        if not definition.country:
            return
        line = eduroam.f_ticks(
            realm=realm, operator=definition.operator_name, country=definition.country, key=self._f_ticks_key,
            station=mac(packet.first(CALLING_STATION_ID) or b""), accepted=accepted,
        )  # fmt: skip
        log.info(line)


def _affinity(packet: Packet, nas: Nas) -> bytes:
    """Names the device, in every process alike: its MAC, or what the access server says in its place."""
    station = packet.first(CALLING_STATION_ID) or packet.first(USER_NAME) or b""
    return blake2b((mac(station) or "").encode() or station, key=nas.name.encode()[:64], digest_size=16).digest()


_SAID: Mapping[int, str] = {
    Code.ACCESS_ACCEPT: "Accept",
    Code.ACCESS_REJECT: "Reject",
    Code.ACCESS_CHALLENGE: "Challenge",
}
