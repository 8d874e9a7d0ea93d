"""Requests without EAP-TLS of ours: handed on to another server, or of devices without certificates.

1. Whose conversation it is (:meth:`troth.radius.proxy.service.Proxies.chosen`): what belongs to a pool goes there, EAP
   and all, from its first packet to its last.
2. MAB and PAP, where the network has them among its methods; what is asked is proved as far as it can be.
3. The decision is the one of every other attempt (``Admissions``), capped at *restrict* there; then the journal; then,
   with nothing waited for in between, whether it still holds; then the Accept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from troth.access.passwords import Passwords
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.radius.admission.model import Attempt, Method, Network, Verdict
from troth.radius.admission.outcome import refused
from troth.radius.admission.ports import Judge, Telling, Untold
from troth.radius.methods import mab, pap
from troth.radius.methods.errors import (
    CERTIFIED,
    GUESSES,
    NO_CHAP,
    OPEN_WAY,
    UNLISTED,
    WRONG_PASSWORD,
)
from troth.radius.methods.limits import Guesses
from troth.radius.methods.lists import Lists
from troth.radius.proxy.errors import ACCEPTED, POOL_UNKNOWN, REJECTED
from troth.radius.proxy.pool import Pool
from troth.radius.proxy.service import Outcome, Proxies
from troth.radius.wire.duplicates import Conditional
from troth.radius.wire.packet import EAP_MESSAGE, USER_NAME, Attribute, Code, Packet
from troth.radius.wire.signing import Protection, encode_reply
from troth.trust.model import Outcome as Allowance

log = get_logger("radius")

#: Checks of passwords that may wait for each other; each takes 64 MiB for some 50 ms, two at once.
_MOST_CHECKS: Final = 16
#: Wrong passwords from one access server: it may have many people behind it.
_OF_SERVER: Final = 30


class Read(Protocol):
    """What was read of a request (:class:`troth.radius.server.asked.Asked`)."""

    @property
    def identity(self) -> str: ...
    @property
    def station(self) -> str | None: ...
    @property
    def called(self) -> str | None: ...
    @property
    def ssid(self) -> str | None: ...
    @property
    def nas_identifier(self) -> str | None: ...
    @property
    def port_type(self) -> str | None: ...
    @property
    def port_id(self) -> str | None: ...
    @property
    def network(self) -> Network | None: ...


class From(Protocol):
    """Where a request came from (:class:`troth.radius.server.desk.Source`)."""

    @property
    def address(self) -> str: ...
    @property
    def listener(self) -> str: ...
    @property
    def nas(self) -> Any: ...


#: What every Accept says, whatever the method (:meth:`troth.radius.server.access.Access.granted`).
Granted = Callable[[Verdict, Any, Packet], Sequence[Attribute]]
#: Told of an Accept; returns at once.
Opened = Callable[[Attempt, Verdict, Any, Packet], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    packet: Packet
    source: From
    protection: Protection
    read: Read
    at: float


class WithoutOurs:
    """See the module. Belongs to one event loop.

    Args:
        certified: whether a device with that canonical address has ever shown a certificate, in memory.
        owns: whether the device of that address owns one; None: that cannot be said in time.
        reject_delay: seconds before a Reject leaves.
    """

    def __init__(
        self,
        judge: Judge,
        granted: Granted,
        opened: Opened,
        proxies: Proxies,
        certified: Callable[[str], bool],
        owns: Callable[[str], Awaitable[bool | None]],
        clock: Clock,
        *,
        telling: Telling | None = None,
        passwords: Passwords | None = None,
        reject_delay: float = 0.5,
    ) -> None:
        self._judge = judge
        self._telling = telling or Untold()
        self._granted = granted
        self._opened = opened
        self._proxies = proxies
        self._certified = certified
        self._owns = owns
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._reject_delay = reject_delay
        self._of_account = Guesses()
        self._of_server = Guesses(burst=_OF_SERVER, seconds=2.0)
        self._checks = 0
        self.lists = Lists()
        #: (network, method, what became of it) → how often.
        self.counted: Counter[tuple[str, str, str]] = Counter()

    def take(self, packet: Packet, source: From, protection: Protection, asked: Read) -> Awaitable[bytes | None] | bool:
        """See ``troth.radius.server.parts.Others``: the answer; False: it is EAP-TLS, or nothing known here."""
        network = asked.network
        pool = self._proxies.chosen(
            packet.firsts.get(USER_NAME),
            network_pool=network.proxy if network is not None else None,
            by_realm=network is not None and bool(network.match.realms),
        )
        if pool is None and EAP_MESSAGE in packet.firsts and (network is None or network.proxy is None):
            return False  # as nearly always: neither MAB nor PAP has EAP in it
        made = _Asked(packet, source, protection, asked, self._clock.monotonic())
        if pool is not None:
            return self._handed_on(made, pool)
        if network is not None and network.proxy is not None:
            # It is not ours to decide, and whose it is is not there.
            return self._refused(made, self._attempt(made, "proxy", asked.identity), POOL_UNKNOWN, [network.proxy])
        if network is None:
            return False
        if "mab" in network.methods and (address := mab.asked(packet, protection)) is not None:
            return self._by_address(made, network, address)
        if "pap" in network.methods and (claim := pap.asked(packet, protection)) is not None:
            return self._by_password(made, network, claim)
        return False

    # --- others' ---------------------------------------------------------------------------------------------------

    async def _handed_on(self, asked: _Asked, pool: Pool) -> bytes | None:
        outcome = await self._proxies.access(pool, asked.packet, asked.source.nas, asked.protection)
        if outcome.code != Code.ACCESS_CHALLENGE:
            await self._judge.record(
                self._attempt(asked, "proxy", asked.read.identity), _told_by(pool, outcome),
                self._timeline(asked, [outcome.words]),
            )  # fmt: skip
        return outcome.reply

    # --- without certificates --------------------------------------------------------------------------------------

    async def _by_address(self, asked: _Asked, network: Network, address: str) -> bytes | None:
        said = [f"asked about by its address alone (MAB), as {asked.read.identity!r}"]
        attempt = self._attempt(asked, "mab", address)
        if self._certified(address):
            log.warning("mab.certified", station=address, nas=asked.source.nas.name, network=network.name)
            return await self._refused(asked, attempt, CERTIFIED, said)
        owns = await self._owns(address)
        if owns is None:
            self.counted[network.name, "mab", "dropped"] += 1
            return None
        if owns:
            log.warning("mab.owns_certificate", station=address, nas=asked.source.nas.name, network=network.name)
            said.append("its device owns a certificate, and has not joined with it yet")
            return await self._refused(asked, attempt, CERTIFIED, said)
        verdict = await self._judge.admit(attempt)
        if verdict is None:
            return None
        if verdict.admitted and _is_stranger(verdict):
            entry = self.lists.address(address, attempt.at)
            if entry is None:
                return await self._refused(asked, attempt, UNLISTED, said)
            said.append(f"on the list by {entry.actor}: {entry.note}")
        return await self._concluded(asked, attempt, verdict, said)

    async def _by_password(self, asked: _Asked, network: Network, claim: pap.Claim) -> bytes | None:
        attempt = self._attempt(asked, "pap", claim.name)
        said = ["asked with a name and a password (PAP)"]
        account = self.lists.account(claim.name, attempt.at)
        server, now = asked.source.nas.name, self._clock.monotonic()
        if claim.password is None:
            return await self._refused(asked, attempt, NO_CHAP, said)
        if not (self._of_account.may(claim.name, now) and self._of_server.may(server, now)):
            return await self._refused(asked, attempt, GUESSES, said)
        if self._checks >= _MOST_CHECKS:
            self.counted[network.name, "pap", "dropped"] += 1
            return None
        self._checks += 1
        try:
            # The same work whoever is named, so that the time taken tells nobody which accounts there are.
            right = await self._passwords.matches(account.hash if account is not None else None, claim.password)
        finally:
            self._checks -= 1
        if not right or account is None:
            self._of_account.wrong(claim.name, now)
            self._of_server.wrong(server, now)
            return await self._refused(asked, attempt, WRONG_PASSWORD, said)
        if asked.source.listener != "radsec" and not account.udp:
            return await self._refused(asked, attempt, OPEN_WAY, said)
        said.append("the password is right" + ("" if asked.source.listener == "radsec" else ", and was told over UDP"))
        verdict = await self._judge.admit(attempt)
        return None if verdict is None else await self._concluded(asked, attempt, verdict, said)

    def _attempt(self, asked: _Asked, method: Method, identity: str) -> Attempt:
        read, source = asked.read, asked.source
        return Attempt(
            at=self._clock.now(), nas=source.nas, network=read.network, method=method, identity=identity,
            nas_address=source.address, calling_station_id=read.station, called_station_id=read.called, ssid=read.ssid,
            nas_identifier=read.nas_identifier, nas_port_type=read.port_type, nas_port_id=read.port_id,
            correlation=str(new_id()),
        )  # fmt: skip

    # --- answers ---------------------------------------------------------------------------------------------------

    async def _concluded(
        self, asked: _Asked, attempt: Attempt, verdict: Verdict, said: Collection[str]
    ) -> bytes | None:
        network = attempt.network.name if attempt.network is not None else ""
        granted: Sequence[Attribute] = ()
        if verdict.admitted:
            try:
                granted = self._granted(verdict, asked.source.nas, asked.packet)
            except TrothError as error:
                # The access server cannot be told where this device belongs, so it belongs nowhere.
                verdict = refused(error.reason, error.detail)
        notes = self._telling.admitted(attempt, verdict, asked.source, asked.packet)
        await self._judge.record(attempt, verdict, self._timeline(asked, said), notes=notes)
        if not verdict.admitted or not await self._judge.vouched(attempt, verdict):
            # What has changed since is told to the next attempt; this one gets the stricter answer.
            if notes := self._telling.withdrawn(verdict):
                self._judge.note(attempt, notes)
            self.counted[network, attempt.method, "deny"] += 1
            return await self._reject(asked)
        answer = encode_reply(asked.packet, Code.ACCESS_ACCEPT, granted, asked.protection)
        self.counted[network, attempt.method, verdict.outcome.value] += 1
        self._opened(attempt, verdict, asked.source, asked.packet)
        return Conditional.of(answer, partial(self._judge.holds, attempt, verdict))

    async def _refused(self, asked: _Asked, attempt: Attempt, why: Reason, said: Collection[str]) -> bytes | None:
        network = attempt.network.name if attempt.network is not None else ""
        self.counted[network, attempt.method, why.code] += 1
        await self._judge.record(attempt, refused(why), self._timeline(asked, [*said, why.summary]))
        return await self._reject(asked)

    def _timeline(self, asked: _Asked, said: Collection[str]) -> list[tuple[float, str]]:
        now = self._clock.monotonic()
        return [(0.0, one) for one in said] + [(now - asked.at, "decided")]

    async def _reject(self, asked: _Asked) -> bytes:
        if self._reject_delay:
            await asyncio.sleep(self._reject_delay)
        return encode_reply(asked.packet, Code.ACCESS_REJECT, (), asked.protection)


def _told_by(pool: Pool, outcome: Outcome) -> Verdict:
    """What another server has decided, as it stands in the journal."""
    if outcome.code == Code.ACCESS_ACCEPT:
        let_in = Allowance.RESTRICT if pool.definition.foreign else Allowance.ALLOW
        return Verdict(let_in, ACCEPTED.code, outcome.words)
    return Verdict(Allowance.DENY, outcome.reason or REJECTED.code, outcome.words, hard=True)


def _is_stranger(verdict: Verdict) -> bool:
    """In no directory: known by nothing but the address it shows."""
    return bool(verdict.subjects) and all(one.fresh for one in verdict.subjects)
