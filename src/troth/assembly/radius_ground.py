"""What a RADIUS worker takes from the database and keeps true: TLS for each network, places, access servers.

The trust table and the networks are followed by ``troth.radius.admission.following``; this hangs on to it, so that a
batch of the stream is acknowledged only once all of it has been taken up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.assembly.context import RoleContext
from troth.assembly.nas import nas_book
from troth.client.ocsp import Ocsp, OcspAnswer
from troth.client.transport import Transport
from troth.kit.clock import Clock
from troth.kit.log import get_logger
from troth.kit.waiting import until_set
from troth.radius.admission.model import Attempt, PlaceChoice, Verdict
from troth.radius.admission.service import Ground
from troth.radius.admission.table import TrustTable
from troth.radius.eap.contexts import NetworkTls
from troth.radius.eap.openssl import LeafJudge
from troth.radius.identity.stapling import Fetch
from troth.radius.nas.model import Nas, NasTable
from troth.radius.nas.sightings import Sightings
from troth.radius.places.book import PlaceBook, load_book
from troth.radius.places.downloads import is_download
from troth.radius.places.rendering import render
from troth.radius.places.vendors import vendors
from troth.radius.proxy.border import CHAP_CHALLENGE, CHAP_PASSWORD
from troth.radius.proxy.eduroam import chargeable_identity
from troth.radius.server.desk import Source
from troth.radius.sessions.accounting import port_of, where_of
from troth.radius.sessions.inbox import note
from troth.radius.sessions.model import Admitted, Port, Where, Withdrawn
from troth.radius.wire.packet import (
    EAP_MESSAGE,
    MESSAGE_AUTHENTICATOR,
    NAS_PORT_TYPE,
    PROXY_STATE,
    STATE,
    USER_PASSWORD,
    Attribute,
    Packet,
)
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.trust.connecting.journal import Note
from troth.trust.enforcement.enforce import QUARANTINE_PROFILES

log = get_logger("assembly")

_STAPLE_SECONDS = 10.0
_SEEN_SECONDS = 5.0
#: Places in the words of a vendor that are remembered.
_MOST_RENDERED = 4_096
#: Stations whose whereabouts are remembered as they were read, and the attributes that say nothing of them.
_MOST_READ = 4_096
#: Passwords are among them: nothing of such stays.
_EACH_ITS_OWN = frozenset(
    {USER_PASSWORD, CHAP_PASSWORD, CHAP_CHALLENGE, EAP_MESSAGE, MESSAGE_AUTHENTICATOR, PROXY_STATE, STATE}
)


def networks_tls(ground: Ground) -> list[NetworkTls]:
    """TLS as each network wants it."""
    found = []
    for network in ground.networks.all:
        if "eap-tls" not in network.methods or network.proxy is not None:
            continue
        anchors = tuple(certificate.public_bytes(Encoding.DER) for _, _, certificate in ground.anchors.of(network))
        if not anchors:
            continue
        # The same in every process, so that a ticket of one is taken by the others: nothing of this process in it.
        epoch = sha256(b"".join((network.version.to_bytes(8, "big"), *map(_digest, anchors)))).hexdigest()
        found.append(
            NetworkTls(
                network.name,
                epoch,
                anchors,
                frozenset(network.tls_versions),
                int(network.resumption.total_seconds()),
            )
        )
    return found


def leaf_judge(table: TrustTable) -> LeafJudge:
    """What TLS itself is to refuse, so that the device's alert says why; all else is the decision's.

    Whoever heals, held by a standing or with a certificate of the quarantine, is given no tickets: the next time is to
    be a handshake with the certificate that the device has by then.
    """

    def judge(_network: str, sha256: bytes) -> str | None:
        row = table.certificate(sha256)
        if row is None:
            return None
        if row.status == "revoked" or (row.status == "held" and row.held_beside):
            return "revoked"
        return "no_ticket" if row.status == "held" or row.profile in QUARANTINE_PROFILES else None

    return judge


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


class AccessServers:
    """Who may ask, as this process knows it. See :class:`troth.radius.server.traffic.AccessServers`."""

    def __init__(self, database: Database, context: RoleContext) -> None:
        self._database = database
        self.seen = Sightings(context.clock)
        self._book = nas_book(context.layout, database)

    async def refresh(self) -> None:
        """Take those in force. Raises StoreError."""
        await self._book.refresh()

    @property
    def table(self) -> NasTable:
        """All of them."""
        return self._book.table

    def of(self, address: str) -> Nas | None:
        """The access server at that address."""
        return self._book.table.of(address)

    def named(self, name: str) -> Nas | None:
        """The access server of that name."""
        return self._book.table.named(name)

    async def run(self, stop: asyncio.Event) -> None:
        """Write down what was seen of them, every few seconds, until told to stop."""
        while not stop.is_set():
            await until_set(stop, _SEEN_SECONDS)
            try:
                await self.seen.flush(self._database)
            except StoreError as error:
                log.warning("radius.sightings_postponed", error=str(error))


def stapled_by() -> Fetch:
    """Asks the responder that a certificate names for its status."""

    async def fetch(leaf: bytes, issuer: bytes) -> tuple[bytes, OcspAnswer]:
        certificates = [x509.load_der_x509_certificate(one) for one in (leaf, issuer)]
        async with Transport(timeout=_STAPLE_SECONDS, user_agent="troth") as transport:
            return await Ocsp(certificates[0], certificates[1], transport).fetch()

    return fetch


class Placing:
    """See :class:`troth.radius.server.parts.Placing`. The book is replaced as a whole.

    ``key``: of this installation, under which a federation that asks is told who may be charged (RFC 4372).
    """

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key
        self._book = PlaceBook()
        self._rendered: dict[tuple[object, ...], Sequence[Attribute]] = {}

    async def refresh(self) -> None:
        """Take the places in force. Raises StoreError."""
        # Read here, before the first device is let in: to read them all takes as long as fifty authentications, and
        # meanwhile nobody would renew the lease.
        vendors()
        self._book = await load_book(self._database, self._book)
        self._rendered.clear()

    def attributes(self, verdict: Verdict, nas: Nas, request: Packet) -> Sequence[Attribute]:
        """See the protocol. Nothing where nothing is said of a place: then the access server's own default holds."""
        charged = chargeable_identity(request, verdict.user_name, self._key)
        return [*self._placed(verdict, nas, request), *([charged] if charged is not None else [])]

    def asked(self, request: Packet) -> Sequence[Attribute] | bool:
        """See the protocol."""
        if not is_download(request):
            return False
        found = self._book.downloads.acl_download(request)
        return True if found is None else found

    def _placed(self, verdict: Verdict, nas: Nas, request: Packet) -> Sequence[Attribute]:
        choice = verdict.place
        if not choice and verdict.session_time is None:
            return ()
        # One place is told many in the same words, and to put them together takes as long as a signature. All that they
        # depend on beside the book, which is replaced as a whole:
        medium = request.first(NAS_PORT_TYPE)
        key = choice.name, choice.role, choice.vlan, choice.acl, verdict.session_time, nas.vendor, medium
        known = self._rendered.get(key)
        if known is None:
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            known = self._rendered[key] = self._render(choice, verdict.session_time, nas, request)
        return known

    def _render(
        self, choice: PlaceChoice, session_time: timedelta | None, nas: Nas, request: Packet
    ) -> Sequence[Attribute]:
        place = self._book.place(
            name=choice.name,
            role=choice.role,
            vlan=choice.vlan,
            acl=choice.acl,
            session_time=session_time,
        )
        return render(place, nas.vendor, request)


class Telling:
    """See :class:`troth.radius.admission.ports.Telling`: the sessions hear of every Accept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: What a request says of where a station is → the same, read.
        self._read: dict[tuple[object, ...], tuple[Where, Port]] = {}

    def _where(self, request: Packet, source: Source) -> tuple[Where, Port]:
        """A station says the same at each of its attempts."""
        said = tuple([one for one in request.attributes if one[0] not in _EACH_ITS_OWN])
        key = source.nas.name, source.address, said
        found = self._read.get(key)
        if found is None:
            if len(self._read) >= _MOST_READ:
                self._read.clear()
            found = self._read[key] = where_of(request, source.nas.name, source.address), port_of(request)
        return found

    def admitted(self, attempt: Attempt, verdict: Verdict, source: Source, request: Packet) -> Sequence[Note]:
        """What the sessions are to hear of it."""
        if not verdict.admitted:
            return ()
        where, port = self._where(request, source)
        return (
            note(
                Admitted(
                    class_=verdict.class_,
                    where=where,
                    port=port,
                    at=attempt.at,
                    network=attempt.network.name if attempt.network is not None else "",
                    place=verdict.place.name or "",
                    method=attempt.method,
                    outcome=verdict.outcome.value,
                    reason=verdict.reason,
                    user_name=verdict.user_name,
                    certificate_id=verdict.certificate_id,
                    serial=verdict.serial,
                    subject_ids=verdict.subject_ids,
                    versions=tuple(one.standing_version for one in verdict.subjects),
                    until=None if verdict.session_time is None else attempt.at + verdict.session_time,
                )
            ),
        )

    def withdrawn(self, verdict: Verdict) -> Sequence[Note]:
        """That its Accept does not leave."""
        return (note(Withdrawn(verdict.class_, self._clock.now())),) if verdict.admitted else ()
