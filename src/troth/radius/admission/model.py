"""A network, somebody who wants to join it, and what was decided. All frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec

from troth.trust.model import Decision, Outcome, Snapshot, Subject

Method: TypeAlias = Literal["eap-tls", "mab", "pap", "proxy"]
METHODS: tuple[Method, ...] = ("eap-tls", "mab", "pap")
TlsVersion: TypeAlias = Literal["1.2", "1.3"]


class EkuRule(Enum):
    """What of the extended key usage suffices (RFC 5216, 5.3; RFC 5280, 4.2.1.12)."""

    #: clientAuth must stand there.
    CLIENT_AUTH = "client_auth"
    #: anyExtendedKeyUsage does as well.
    ANY = "any"
    #: So does a certificate that states none.
    UNSTATED = "unstated"


class StalePolicy(Enum):
    """What a worker whose lease on the trust stream has lapsed does."""

    REJECT = "reject"
    #: Decide on what was known last, for a bounded time.
    CONTINUE = "continue"
    #: The same, and let nobody in above *restrict*.
    RESTRICT = "restrict"


class Identity(Enum):
    """From which name of a foreign certificate it is known whose it is."""

    #: otherName 1.3.6.1.4.1.311.20.2.3.
    UPN = "upn"
    URI = "uri"
    EMAIL = "email"
    DNS = "dns"
    #: The subject's common name: anybody may have written anything there, so it must be named explicitly.
    COMMON_NAME = "cn"


@dataclass(frozen=True, slots=True)
class Match:
    """What is joined, if it is this network. An empty field matches everything; in each, one entry must fit.

    Attributes:
        ssids: as in Called-Station-Id, exactly.
        nas: names of access servers, as under ``nas:``.
        port_types: wireless, ethernet, virtual …: names of NAS-Port-Type.
        realms: of the outer identity (unproved: it chooses the network and nothing else), lower-case; ``-``: none.
    """

    ssids: frozenset[str] = frozenset()
    nas: frozenset[str] = frozenset()
    port_types: frozenset[str] = frozenset()
    realms: frozenset[str] = frozenset()

    @property
    def specificity(self) -> tuple[bool, bool, bool, bool]:
        """Greater is narrower: an SSID says more than an access server, that more than a kind of port."""
        return bool(self.ssids), bool(self.nas), bool(self.realms), bool(self.port_types)

    def fits(self, ssid: str | None, nas: str, port_type: str | None, realm: str | None) -> bool:
        """Whether this is what was joined."""
        return (
            (not self.ssids or ssid in self.ssids)
            and (not self.nas or nas in self.nas)
            and (not self.port_types or port_type in self.port_types)
            and (not self.realms or (realm or "-") in self.realms)
        )


@dataclass(frozen=True, slots=True)
class ForeignRule:
    """How certificates of foreign anchors are met.

    Attributes:
        policy: the profile whose policy judges them.
        identity: names that are looked at, in order.
        guest: they are guests of this kind, known here by nothing but the certificate; None: a subject of ours that
            bears the name (``kind``).
        closed: without a revocation list of the issuer in force nobody is let in; else it is noted, and let in.
        points: lists are also fetched from where their certificates say.
        every: how often.
    """

    policy: str
    identity: tuple[Identity, ...]
    kind: Literal["device", "user"]
    guest: bool = True
    closed: bool = True
    points: bool = False
    every: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PlainRule:
    """How devices without certificates are met (MAB) or people with passwords (PAP).

    Attributes:
        policy: the profile whose policy judges them.
        known: only who is in the directory under that name.
        kind: what they are there.
    """

    policy: str
    kind: Literal["device", "user"]
    known: bool = True


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When the admission breaker opens.

    Attributes:
        share: percent of the attempts of those who were let in before that would newly be refused for one reason.
        least: so many of them at least.
        window: within which they fall.
        holds: for so long, at most, the last word is taken.
        notify: targets of the reactions at which people are called.
    """

    share: int = 20
    least: int = 20
    window: timedelta = timedelta(minutes=10)
    holds: timedelta = timedelta(hours=4)
    notify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """What an SSID or a port is: who may join, and under which conditions. See docs/networks.md.

    Attributes:
        authorities: slugs of ours that vouch, with everything below them.
        anchors: names of foreign trust anchors that vouch.
        profiles: of our certificates, the ones that are admitted; no others are, whatever their chain says.
        policy: the profile whose policy governs; None: the certificate's own.
        resumption: how long a TLS session may be resumed; zero: never. A resumed one is decided like any other.
        stale_for: how long a stale worker goes on where ``stale`` lets it.
        places: name of the place for each outcome that the policy leaves without one.
        longest, shortest: bounds of the session's time.
        proxy: where its conversations are handed on to, in place of being decided here.
        ticket_epoch: counts what TLS sessions must not outlive; made part of the session's context.
    """

    name: str
    match: Match = Match()
    description: str = ""
    methods: tuple[Method, ...] = ("eap-tls",)
    authorities: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    profiles: frozenset[str] = frozenset()
    policy: str | None = None
    foreign: ForeignRule | None = None
    mab: PlainRule | None = None
    pap: PlainRule | None = None
    eku: EkuRule = EkuRule.CLIENT_AUTH
    tls_versions: tuple[TlsVersion, ...] = ("1.2", "1.3")
    resumption: timedelta = timedelta(hours=8)
    stale: StalePolicy = StalePolicy.REJECT
    stale_for: timedelta = timedelta(0)
    places: tuple[tuple[Outcome, str], ...] = ()
    longest: timedelta = timedelta(hours=12)
    shortest: timedelta = timedelta(minutes=5)
    breaker: BreakerRule | None = BreakerRule()
    proxy: str | None = None
    version: int = 1

    @property
    def judged_by(self) -> frozenset[str]:
        """Profiles whose policies judge here in the place of a certificate's own, or where there is none of ours."""
        rules = (self.foreign, self.mab, self.pap)
        named = (self.policy, *(None if one is None else one.policy for one in rules))
        return frozenset(one for one in named if one is not None)

    def place_for(self, outcome: Outcome) -> str | None:
        """The name of the default place."""
        return next((place for known, place in self.places if known is outcome), None)


class AccessServer(Protocol):
    """What the decision asks of a NAS (:class:`troth.radius.nas.model.Nas`)."""

    @property
    def name(self) -> str:
        """As under ``nas:``."""
        ...

    @property
    def site(self) -> str | None:
        """Where it stands, if that is said there."""
        ...


class TlsFacts(Protocol):
    """What TLS has proved (:class:`troth.radius.eap`'s Facts)."""

    @property
    def tls_version(self) -> str:
        """``1.2`` or ``1.3``."""
        ...

    @property
    def cipher(self) -> str:
        """The suite's name."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether an earlier session was taken up again."""
        ...

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER as it was sent, the certificate first."""
        ...

    @property
    def sha256(self) -> bytes:
        """Of the certificate."""
        ...


# What each attempt makes anew is made by msgspec: a frozen dataclass of twenty fields takes ten times as long, and as
# long again to be replaced.
class Attempt(msgspec.Struct, frozen=True):
    """Somebody who wants to join.

    Attributes:
        nas_address: from where the packet came.
        identity: the outer one: of MAB the MAC, of PAP the user; of EAP-TLS unproved and used for nothing.
        calling_station_id: MAC, canonical (``aa-bb-cc-dd-ee-ff``), or as sent where it is none.
        port_type: name of NAS-Port-Type: wireless, ethernet …
        facts: None for methods without TLS, whose proof the caller has checked.
        correlation: names the conversation in logs.
    """

    at: datetime
    nas: AccessServer
    network: Network | None
    method: Method
    identity: str = ""
    nas_address: str = ""
    calling_station_id: str | None = None
    called_station_id: str | None = None
    ssid: str | None = None
    nas_identifier: str | None = None
    nas_port_type: str | None = None
    nas_port_id: str | None = None
    facts: TlsFacts | None = None
    correlation: str = ""


class PlaceChoice(msgspec.Struct, frozen=True):
    """Where in the network somebody belongs: a place by name, and what the policy says over it."""

    name: str | None = None
    role: str | None = None
    vlan: str | None = None
    acl: str | None = None

    def __bool__(self) -> bool:
        return any((self.name, self.role, self.vlan, self.acl))


class Verdict(msgspec.Struct, frozen=True):
    """What was decided.

    Attributes:
        reason: code of the deciding reason.
        place: vendor-neutral; what it means to the equipment is another room's business.
        session_time: the session is asked about anew after this; None for who is not let in.
        user_name: from the certificate, for the Accept's User-Name and so for accounting.
        class_: 16 random octets, which the access server repeats in accounting.
        decisions: one per subject with the snapshot it was made from.
        certificate_id: of ours.
        stale: decided on old news, by the network's stale policy.
        excused: the code that the breaker has excused.
        unchecked: a foreign certificate whose revocation nobody could check.
        detail: for people.
        say: the help desk's sentence for who is refused or restricted.
        read_at: monotonic seconds before the oldest fact of it was read.
        basis: what it stands on, for :meth:`troth.radius.admission.service.Decider.holds`.
        hard: nothing makes this denial milder: revoked, held, distrusted, no chain.
    """

    outcome: Outcome
    reason: str
    detail: str = ""
    place: PlaceChoice = PlaceChoice()
    session_time: timedelta | None = None
    user_name: str = ""
    class_: bytes = b""
    decisions: tuple[tuple[Decision, Snapshot], ...] = ()
    subjects: tuple[Subject, ...] = ()
    certificate_id: UUID | None = None
    serial: str = ""
    say: str | None = None
    stale: bool = False
    excused: str | None = None
    unchecked: bool = False
    hard: bool = False
    read_at: float = float("inf")
    basis: object = None

    @property
    def admitted(self) -> bool:
        """Whether there is an Accept at all."""
        return self.outcome is not Outcome.DENY

    @property
    def subject_ids(self) -> tuple[UUID, ...]:
        """Whom it is about."""
        return tuple(one.id for one in self.subjects)


class Unsettled(Exception):
    """Nothing certain can be said yet: something about this certificate has changed, or is new, and is being read.

    Attributes:
        key: what to wait for (:meth:`troth.radius.admission.table.TrustTable.settled`).
        otherwise: the verdict if it does not come in time; None: no answer at all, the access server asks again.
    """

    def __init__(self, key: bytes, otherwise: Verdict | None = None) -> None:
        super().__init__("not settled yet")
        self.key = key
        self.otherwise = otherwise


@dataclass(frozen=True, slots=True)
class Networks:
    """All networks, the narrowest first."""

    all: tuple[Network, ...] = ()
    by_name: dict[str, Network] = field(default_factory=dict)

    @classmethod
    def of(cls, networks: Sequence[Network]) -> Networks:
        """Sorted by how much they say of what is joined; of two that say as much, by name."""
        ordered = sorted(networks, key=lambda one: one.name)
        ordered.sort(key=lambda one: one.match.specificity, reverse=True)
        return cls(tuple(ordered), {one.name: one for one in ordered})

    def joined(self, *, ssid: str | None, nas: str, port_type: str | None, realm: str | None) -> Network | None:
        """The narrowest network that fits, or None: then nobody is let in."""
        return next((one for one in self.all if one.match.fits(ssid, nas, port_type, realm)), None)

    @property
    def profiles(self) -> frozenset[str]:
        """Every profile of ours that any network admits."""
        return frozenset(profile for one in self.all for profile in one.profiles)

    @property
    def policies(self) -> frozenset[str]:
        """Every profile whose policy may be asked."""
        named = {one.policy for one in self.all if one.policy} | {
            rule.policy for one in self.all for rule in (one.foreign, one.mab, one.pap) if rule is not None
        }
        return self.profiles | named
