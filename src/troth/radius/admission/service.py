"""The decision: whom a network lets in, from memory, at every attempt.

1. The network that is joined is known, takes this method, and this process may vouch for what it holds (its lease on
   the trust stream runs, or the network's stale policy says otherwise, for a bounded time).
2. A certificate of ours counts only if the trust table knows its SHA-256, under a profile that the network admits; an
   anchor of the network vouches for its path; its status is good, or it is held by nothing but a standing.
3. A foreign one: its path, its issuers' revocation lists, and a name by which the network knows its guests.
4. Each subject is judged by the policy that governs, at the moment *connect*; the strictest outcome counts.
5. The outcome becomes a place in the network and a time after which the session is asked about anew.

Nothing here calls anybody. What is remembered between attempts depends on nothing that could change unseen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
from msgspec.structs import replace

from troth.kit.clock import Clock
from troth.pki.errors import PathRefused
from troth.radius.admission import foreign
from troth.radius.admission.chains import Anchors, Paths, Vouched
from troth.radius.admission.errors import (
    CHAIN_REFUSED,
    FENCED,
    FOREIGN_NAMELESS,
    FOREIGN_REVOKED,
    FOREIGN_STRANGER,
    FOREIGN_UNCHECKED,
    METHOD_REFUSED,
    NETWORK_NONE,
    NO_CERTIFICATE,
    STALE,
    TLS_VERSION,
)
from troth.radius.admission.evidence import fault_of, nas_of, request_of
from troth.radius.admission.foreign import ForeignCrl
from troth.radius.admission.model import (
    Attempt,
    Network,
    Networks,
    PlainRule,
    StalePolicy,
    TlsFacts,
    Unsettled,
    Verdict,
)
from troth.radius.admission.outcome import capped, outcome_of, refused, user_name
from troth.radius.admission.records import NAMED, Known, facts_of
from troth.radius.admission.table import TrustTable
from troth.trust.connecting.connections import Asking, judged
from troth.trust.connecting.errors import (
    CERTIFICATE_HELD,
    CERTIFICATE_SUBJECTLESS,
    CERTIFICATE_UNKNOWN,
)
from troth.trust.decision.question import Given
from troth.trust.enforcement.enforce import QUARANTINE_PROFILES
from troth.trust.model import FeedState, Kind, Outcome, Subject
from troth.trust.places import Places
from troth.trust.policy.cache import PolicyCache
from troth.trust.policy.compiled import Policy
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

#: A certificate that is younger may be one whose birth the stream has not told yet: profiles backdate by an hour at
#: most, and clocks differ.
_YOUNG = timedelta(hours=2)
#: A hold by a standing and that standing arrive together, or nearly; after so many seconds the hold counts alone.
_TOGETHER = 5.0
_POLICIES = 1_000


class Lease(Protocol):
    """Whether this process may vouch for what it holds (:class:`troth.audit.stream.StreamPoint`)."""

    @property
    def live(self) -> bool:
        """By this process's own clock."""
        ...

    @property
    def until(self) -> float:
        """Monotonic time at which it ends or has ended; minus infinity: there was none yet."""
        ...

    async def current(self, seconds: float) -> bool:
        """Wait until it runs; False: not within ``seconds``."""
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """What decisions stand on beside the table; swapped as a whole.

    Attributes:
        feeds: that are late, stale or dead.
        lists: revocation lists of others, by issuer.
        fenced: after a restore, nobody has decided yet.
    """

    networks: Networks = field(default_factory=Networks)
    anchors: Anchors = field(default_factory=lambda: Anchors({}, {}))
    lists: Mapping[bytes, ForeignCrl] = field(default_factory=dict)
    feeds: tuple[FeedState, ...] = ()
    places: Places = field(default_factory=Places)
    fenced: bool = False


class Decider:
    """See the module. Belongs to one event loop; no method waits."""

    def __init__(self, table: TrustTable, policies: PolicyCache, lease: Lease, clock: Clock) -> None:
        self.table = table
        self.ground = Ground()
        self._policies = policies
        self.lease = lease
        self._clock = clock
        self.paths = Paths()
        #: SHA-256 of a policy → what it reads of certificates.
        self._read: dict[str, frozenset[str]] = {}

    def decide(self, attempt: Attempt) -> Verdict:
        """What is to be done with ``attempt``. Raises Unsettled where nothing certain can be said yet."""
        network = attempt.network
        if network is None:
            seen = f"ssid {attempt.ssid!r}, {attempt.nas_port_type or 'unknown port'}, {attempt.nas.name}"
            return refused(NETWORK_NONE, seen)
        if attempt.method not in network.methods:
            return refused(METHOD_REFUSED, attempt.method)
        if self.ground.fenced:
            return refused(FENCED)
        floor = self._floor(network)
        if floor is None:
            return refused(STALE)
        if attempt.method != "eap-tls":
            verdict = self._plain(attempt, network, network.mab if attempt.method == "mab" else network.pap)
        else:
            verdict = self._tls(attempt, network, attempt.facts)
        if floor.stale:
            verdict = capped(network, replace(verdict, stale=True), floor.least)
        return verdict

    def holds(self, attempt: Attempt, verdict: Verdict) -> bool:
        """Whether ``verdict`` may still be answered: asked right before the Accept leaves, nothing awaited in between.

        Between decision and Accept lie a file's fsync and a round trip to the station: a hold may be effective by then.
        Without a lease only that leaves which was decided by the stale policy, and while that may be relied on.
        """
        floor = self._floor(attempt.network) if attempt.network is not None else None
        if floor is None or (floor.stale and not verdict.stale):
            return False
        basis = verdict.basis
        if (
            isinstance(basis, _Basis)
            and basis.ground is self.ground
            and basis.policies is self._policies.policies
            and self.table.unchanged(basis.known)
        ):
            return True
        if verdict.excused is not None:
            return False
        try:
            return self.decide(replace(attempt, at=self._clock.now())).outcome <= verdict.outcome
        except Unsettled:
            return False

    def _floor(self, network: Network) -> _Floor | None:
        """How far this process may vouch; None: not at all."""
        if self.lease.live:
            return _CURRENT
        lapsed = self._clock.monotonic() - self.lease.until
        if network.stale is StalePolicy.REJECT or lapsed > network.stale_for.total_seconds():
            return None
        return _Floor(True, Outcome.RESTRICT if network.stale is StalePolicy.RESTRICT else Outcome.ALLOW)

    # --- with a certificate ------------------------------------------------------------------------------------

    def _tls(self, attempt: Attempt, network: Network, facts: TlsFacts | None) -> Verdict:
        if facts is None or not facts.chain:
            return refused(NO_CERTIFICATE)
        if facts.tls_version not in network.tls_versions:
            return refused(TLS_VERSION, facts.tls_version)
        sha256 = hashlib.sha256(facts.chain[0]).digest()
        row = self.table.certificate(sha256)
        if row is not None:
            fault = fault_of(row, network, attempt.at)
            if fault is not None:  # certain, whatever else is not settled
                return replace(fault, certificate_id=row.id, serial=row.serial.hex(), user_name=user_name(row.names))
        try:
            vouched = self.paths.vouched(facts.chain, sha256, network, self.ground.anchors, attempt.at)
        except PathRefused as error:
            return refused(CHAIN_REFUSED, error.detail)
        if row is not None:
            try:
                known = self.table.known(sha256)
            except KeyError as error:
                raise Unsettled(error.args[0]) from error
            if known is not None:
                return self._ours(attempt, network, known, vouched)
        if not vouched.own:
            return self._foreign(attempt, network, vouched)
        if self.table.expects(sha256):
            raise Unsettled(sha256)
        unknown = refused(CERTIFICATE_UNKNOWN, f"its chain is good, and nobody here has issued it: {sha256.hex()}")
        if attempt.at - vouched.shown.not_before < _YOUNG:
            raise Unsettled(sha256, unknown)
        return unknown

    def _ours(self, attempt: Attempt, network: Network, known: Known, vouched: Vouched) -> Verdict:
        row = known.certificate
        if not known.subjects:
            return refused(CERTIFICATE_SUBJECTLESS)
        if row.status == "held" and not self._explained(known):
            return refused(CERTIFICATE_HELD)
        profile = self._governing(network, row.profile)
        wanted = self._wanted(profile)
        certificate = facts_of(row, attempt.at, wanted)
        if "usages" in wanted:
            certificate["usages"] = list(vouched.shown.usages or ())
        verdict = self._judged(
            attempt, network, known.subjects, profile, known.said, certificate,
            ends=min(known.ends, vouched.ends), read_at=known.read_at,
        )  # fmt: skip
        if row.profile in QUARANTINE_PROFILES:
            # It was issued on less, so that the device could heal; healed, it asks for one of its own.
            verdict = capped(network, verdict, Outcome.QUARANTINE)
        return replace(
            verdict, user_name=known.user_name or known.subjects[0].name, certificate_id=row.id,
            serial=row.serial.hex(), basis=_Basis(self.ground, self._policies.policies, known),
        )  # fmt: skip

    def _governing(self, network: Network, profile: str) -> str:
        """The profile whose policy judges a certificate of ``profile``: the network's word, or its own.

        A quarantine profile has no policy of its own; it is judged by the one that has put it in place of another.
        """
        if network.policy is not None:
            return network.policy
        if profile in QUARANTINE_PROFILES and self._policies.governing(profile) is None:
            for _, policy in sorted(self._policies.policies.items()):
                if policy.quarantined is not None and policy.quarantined.profile == profile:
                    admitted = [one for one in policy.profiles if one in network.profiles]
                    if admitted:
                        return admitted[0]
        return profile

    def _wanted(self, profile: str) -> frozenset[str]:
        """Attributes of a certificate that a decision records: those that its policy reads, and who it is."""
        policy = self._policies.governing(profile)
        if policy is None:
            return NAMED
        found = self._read.get(policy.sha256)
        if found is None:
            if len(self._read) > _POLICIES:
                self._read.clear()
            read = {path.partition(".")[2] for path in policy.wants("certificate")}
            found = self._read[policy.sha256] = NAMED | read
        return found

    def _explained(self, known: Known) -> bool:
        """Whether the standings that hold the certificate are known here: then they say what that means.

        Raises Unsettled while only one of the two has arrived.
        """
        people = {
            one.id: one.standing for subject in known.subjects for one in (subject, subject.owner) if one is not None
        }
        if all(people.get(one, Standing.TRUSTED) >= Standing.QUARANTINED for one in known.certificate.held_by):
            return True
        if self._clock.monotonic() - known.read_at > _TOGETHER:
            for one in known.certificate.held_by:
                self.table.doubts.tell(one.bytes)
            self.table.doubts.tell(known.certificate.id.bytes)
            raise Unsettled(known.certificate.id.bytes)
        return False

    # --- with another's certificate, or with none ---------------------------------------------------------------

    def _foreign(self, attempt: Attempt, network: Network, vouched: Vouched) -> Verdict:
        rule = network.foreign
        if rule is None:
            return refused(CHAIN_REFUSED, f"the network says nothing of certificates of {vouched.anchor}")
        checked = foreign.check_revocation(vouched, self.ground.lists, attempt.at)
        if checked.revoked is not None:
            return refused(FOREIGN_REVOKED, checked.revoked)
        if checked.unchecked and rule.closed:
            return refused(FOREIGN_UNCHECKED, ", ".join(checked.unchecked))
        name = foreign.name_of(vouched.shown, rule.identity)
        if name is None:
            return refused(FOREIGN_NAMELESS, vouched.shown.subject)
        said: tuple[Observation, ...] = ()
        read_at = self._clock.monotonic()
        if rule.guest:
            subject = foreign.guest(rule, vouched.anchor, name)
        else:
            found = self._named(rule.kind, name)
            if found is None:
                return refused(FOREIGN_STRANGER, f"{rule.kind} {name}")
            subject, said, read_at = found
        verdict = self._judged(
            attempt, network, (subject,), rule.policy, said, foreign.facts_of(vouched, attempt.at), ends=vouched.ends,
            read_at=read_at,
        )  # fmt: skip
        return replace(verdict, user_name=name, serial=f"{vouched.shown.serial:x}", unchecked=bool(checked.unchecked))

    def _plain(self, attempt: Attempt, network: Network, rule: PlainRule | None) -> Verdict:
        name = attempt.calling_station_id if attempt.method == "mab" else attempt.identity
        if rule is None or not name:
            return refused(METHOD_REFUSED, attempt.method)
        found = self._named(rule.kind, name)
        if found is None and rule.known:
            return refused(FOREIGN_STRANGER, f"{rule.kind} {name[:100]}")
        if found is None:
            found = foreign.stranger(Kind(rule.kind), name[:253], f"radius:{attempt.method}"), (), 0.0
        subject, said, read_at = found
        verdict = self._judged(
            attempt, network, (subject,), rule.policy, said, {}, ends=None, read_at=read_at or self._clock.monotonic()
        )
        # A MAC address proves nothing and a password little: never the place of those who have a key.
        verdict = capped(network, verdict, Outcome.RESTRICT)
        return replace(verdict, user_name=name[:253])

    def _named(self, kind: str, name: str) -> tuple[Subject, tuple[Observation, ...], float] | None:
        try:
            subject_id = self.table.names.find(kind, name)
            return self.table.subject(subject_id) if subject_id is not None else None
        except KeyError as error:
            raise Unsettled(error.args[0]) from error

    # --- the judge ---------------------------------------------------------------------------------------------

    def _judged(
        self,
        attempt: Attempt,
        network: Network,
        subjects: Sequence[Subject],
        profile: str,
        said: Sequence[Observation],
        certificate: Mapping[str, Given],
        *,
        ends: datetime | None,
        read_at: float,
    ) -> Verdict:
        ground = self.ground
        asking = Asking(actor=f"radius:{network.name}", request=request_of(attempt), nas=nas_of(attempt))
        policy = self._policies.governing(profile)
        made = judged(
            subjects, profile, said, policy, asking, attempt.at, certificate=certificate, feeds=ground.feeds,
            places=ground.places,
        )  # fmt: skip
        return outcome_of(network, made, tuple(subjects), attempt.at, ends=ends, class_=os.urandom(16), read_at=read_at)


class _Basis(msgspec.Struct, frozen=True):
    """What a verdict about a certificate of ours stands on."""

    ground: Ground
    policies: Mapping[str, Policy]
    known: Known


@dataclass(frozen=True, slots=True)
class _Floor:
    stale: bool
    least: Outcome


_CURRENT = _Floor(False, Outcome.ALLOW)
