"""Who asks: by an enrolment's secret, a certificate of ours, or one of a foreign anchor (RFC 7030, 3.3 and 3.2.3).

A certificate of ours counts only if the records know its SHA-256: what TLS has verified is that some key certified it,
and a stolen issuing key could do that, too. Its status and its subject are looked at now. One that is held for nothing
but its subject's standing may still ask, so that a device can heal: the judge knows what standing allows.

A foreign certificate is worth what the label says: a device's serial number, or the names in it. Whether its issuer has
revoked it is not asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cryptography import x509

from troth.client.jose import b64url_encode
from troth.enroll.credentials.model import Enrolment
from troth.enroll.credentials.service import Enrolments, Grant, granted
from troth.enroll.est import errors
from troth.enroll.est.errors import EstRefused
from troth.enroll.est.model import Label
from troth.enroll.est.request import certified, serial_number_of
from troth.enroll.est.store import EstStore, Footing
from troth.enroll.issuance import HOST_NAMES
from troth.enroll.tokens.evidence import TokenEvidence
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.kit.lane import Request
from troth.pki.anchor_store import AnchorStore
from troth.pki.anchors import vouched_for
from troth.pki.catalogue import Catalogue
from troth.pki.errors import NameRefused, PathRefused
from troth.pki.model import CertificateRecord
from troth.pki.names import GeneralNames
from troth.pki.store import CertificateStore
from troth.pki.unreadable import UNREADABLE
from troth.store.pool import Database
from troth.trust.decision.question import Given
from troth.trust.enforcement.enforce import hold_cause_of
from troth.trust.model import Subject
from troth.trust.subjects.store import SubjectStore

_PURPOSE = "clientAuth"
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """A believed client.

    Attributes:
        method: ``enrolment``, ``certificate`` or ``bootstrap``.
        identity: the same for the same client: ``enrolment:<id>``.
        enrolment: on which the request rests: of the credential, or of the certificate that is renewed.
        subject: whom the certificate is for; None where the names tell.
        certificate: the one of ours that was shown; footing: what that rests on.
        names: those of the certificate that was shown.
        evidence: what the judge is told of it.
    """

    method: str
    identity: str
    enrolment: Enrolment | None = None
    subject: Subject | None = None
    certificate: CertificateRecord | None = None
    footing: Footing | None = None
    names: GeneralNames = ()
    evidence: Mapping[str, Given] = field(default_factory=dict)

    @property
    def grant(self) -> Grant | None:
        """What the enrolment allows."""
        return None if self.enrolment is None else granted(self.enrolment)

    @property
    def actor(self) -> str:
        """For the ledger."""
        return f"est:{self.identity}"


class Callers:
    """Believes clients or raises EstRefused."""

    def __init__(self, database: Database, clock: Clock, catalogue: Catalogue, enrolments: Enrolments) -> None:
        self._clock = clock
        self._catalogue = catalogue
        self._enrolments = enrolments
        self._subjects = SubjectStore(database.lookups)
        self._certificates = CertificateStore(database.lookups)
        self._anchors = AnchorStore(database)
        self._store = EstStore(database.lookups)
        self._tokens = TokenEvidence(database.lookups)

    async def enrolling(self, request: Request, label: Label) -> Caller:
        """Who asks for a first certificate. Raises EstRefused."""
        secret = request.headers.get("authorization")
        if secret is not None:
            return await self._by_secret(secret, label)
        if request.tls_client_cert is None:
            raise EstRefused(errors.NOT_AUTHENTICATED)
        record = await self._certificates.by_sha256(hashlib.sha256(request.tls_client_cert).digest())
        if record is None:
            return await self._foreign(request, label)
        footing = await self._store.footing(record.id)
        if record.profile not in label.from_profiles and not label.renews(record.profile, footing):
            raise EstRefused(errors.CERTIFICATE_ELSEWHERE, f"a certificate of profile {record.profile}")
        return await self._ours(record, footing)

    async def renewing(self, request: Request, label: Label) -> Caller:
        """Who renews the certificate that he shows. Raises EstRefused."""
        if request.tls_client_cert is None:
            raise EstRefused(errors.CERTIFICATE_NEEDED)
        record = await self._certificates.by_sha256(hashlib.sha256(request.tls_client_cert).digest())
        if record is None:
            raise EstRefused(errors.CERTIFICATE_UNKNOWN)
        footing = await self._store.footing(record.id)
        if not label.renews(record.profile, footing):
            raise EstRefused(errors.CERTIFICATE_ELSEWHERE, f"a certificate of profile {record.profile}")
        return await self._ours(record, footing)

    # --- an enrolment's secret -----------------------------------------------------------------------------------

    async def _by_secret(self, header: str, label: Label) -> Caller:
        user, password = read_basic(header)
        found = await self._enrolment(user, password)
        if found is None or found.status != "valid":
            raise EstRefused(errors.CREDENTIAL_REFUSED)
        if not found.opens(label.directory) or not granted(found).may_order(label.profile):
            raise EstRefused(errors.CREDENTIAL_ELSEWHERE)
        evidence = {"methods": ["enrolment"], **await self._tokens.of(found.id)}
        return Caller("enrolment", found.ref, found, await self._of_enrolment(found), evidence=evidence)

    async def _enrolment(self, user: str, password: str) -> Enrolment | None:
        """The enrolment with this secret. One that has expired is found, too: it may be asked for the same again."""
        kid = parse_id(user)
        keyed = None if kid is None else await self._enrolments.hmac_key(kid)
        if keyed is not None:
            known = hmac.compare_digest(b64url_encode(keyed[1]).encode(), password.encode())
            return keyed[0] if known else None
        # The others are found by the SHA-256 of 24 or 32 random octets: how long a look takes says nothing of them.
        found = await self._enrolments.of_secret(password) or await self._enrolments.of_client_identifier(password)
        return found if found is not None and (kid is None or kid == found.id) else None

    async def _of_enrolment(self, enrolment: Enrolment) -> Subject | None:
        bound = enrolment.device_id or enrolment.user_id
        if bound is not None:
            return await self._present(bound)
        if enrolment.kind == "client-identifier":
            return await self._device(enrolment.rules.devices[0].partition("/")[0])
        return None

    # --- a certificate -------------------------------------------------------------------------------------------

    async def _ours(self, record: CertificateRecord, footing: Footing | None) -> Caller:
        now = self._clock.now()
        subjects = [one for one, role in await self._certificates.subjects(record.id) if role == "subject"]
        if record.der is None or not record.not_before <= now < record.not_after or record.status == "revoked":
            raise EstRefused(errors.CERTIFICATE_NOT_GOOD, "it is revoked or out of date")
        if record.status == "held":
            causes = {hold.cause for hold in await self._certificates.holds(record.id)}
            bound = {one for one, _ in await self._certificates.subjects(record.id)}
            if causes - set(map(hold_cause_of, bound)):
                raise EstRefused(errors.CERTIFICATE_NOT_GOOD, "it is held")
        enrolment = None
        if footing is not None and footing.enrolment_id is not None:
            enrolment = await self._enrolments.get(footing.enrolment_id)
            if enrolment.status != "valid":
                raise EstRefused(errors.CREDENTIAL_REFUSED, "the enrolment that brought this certificate has ended")
        # Several subjects are those of its names, which tell again whose they are.
        subject = await self._present(subjects[0]) if len(subjects) == 1 else None
        evidence = {"methods": ["certificate"], **await self._tokens.of(enrolment.id if enrolment else None)}
        return Caller(
            "certificate", f"certificate:{record.id}", enrolment, subject, record, footing, record.names, evidence
        )

    async def _foreign(self, request: Request, label: Label) -> Caller:
        if label.bootstrap == "off":
            raise EstRefused(errors.CERTIFICATE_UNKNOWN)
        own = {one.sha256 for one in self._catalogue.authorities.values()}
        if any(hashlib.sha256(one).digest() in own for one in request.tls_client_chain):
            # Signed under a key of ours, and not known here: nobody is admitted by that.
            raise EstRefused(errors.CERTIFICATE_UNKNOWN)
        anchors = await self._anchors.all()
        chain = read_chain(request.tls_client_chain)
        try:
            anchor = vouched_for(chain, _PURPOSE, anchors, self._clock.now(), unstated=True)
        except PathRefused as error:
            raise EstRefused(errors.CERTIFICATE_UNKNOWN, error.detail) from error
        subject, names = None, _vouchable(chain[0]) if label.bootstrap == "names" else ()
        if label.bootstrap == "device":
            serial = serial_number_of(chain[0])
            if serial is None:
                raise EstRefused(errors.DEVICE_UNKNOWN, "its subject has no serialNumber, or several")
            subject = await self._device(serial)
        digest = hashlib.sha256(request.tls_client_chain[0]).hexdigest()
        evidence: dict[str, Given] = {"methods": ["bootstrap-certificate"], "bootstrap_anchor": anchor.name}
        return Caller("bootstrap", f"bootstrap:{digest}", None, subject, names=names, evidence=evidence)

    # --- subjects ------------------------------------------------------------------------------------------------

    async def _device(self, text: str) -> Subject:
        found = await self._subjects.devices_known_as(text)
        if len(found) != 1:
            raise EstRefused(errors.DEVICE_UNKNOWN)
        return found[0]

    async def _present(self, subject: UUID) -> Subject:
        """The subject, if it is in the directory still. Raises EstRefused."""
        known = await self._subjects.by_id(subject)
        found = await self._subjects.find(known.kind, known.name) if known is not None else None
        if found is None or known is None or found.id != known.id:
            raise EstRefused(errors.SUBJECT_GONE)
        return found


def _vouchable(certificate: x509.Certificate) -> GeneralNames:
    """The host names of a foreign certificate; none of one with names that Troth does not issue."""
    try:
        return tuple(one for one in certified(certificate)[1] if one[0] in HOST_NAMES)
    except (NameRefused, *UNREADABLE):
        return ()


def read_chain(encoded: Sequence[bytes]) -> list[x509.Certificate]:
    """What a client showed in its handshake, which TLS has read less closely. Raises EstRefused."""
    try:
        chain = [x509.load_der_x509_certificate(one) for one in encoded]
        for one in chain:  # read now what is read lazily
            _ = one.subject, one.issuer, one.extensions, one.not_valid_after_utc
    except UNREADABLE as error:
        raise EstRefused(errors.CERTIFICATE_UNKNOWN, "it cannot be read") from error
    return chain


def read_basic(header: str) -> tuple[str, str]:
    """User and password of an Authorization header (RFC 7617). Raises EstRefused."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(rest) > _LONGEST:
        raise EstRefused(errors.NOT_AUTHENTICATED, "the only scheme here is Basic")
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError as error:
        raise EstRefused(errors.NOT_AUTHENTICATED, "the credentials are not base64 of USER:PASSWORD") from error
    if not colon or not password:
        raise EstRefused(errors.CREDENTIAL_REFUSED)
    return user, password
