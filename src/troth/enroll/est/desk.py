"""From a believed caller and a proved key to a certificate.

In this order, each of which may end it:

1. the same request of the same caller, sent again within the window, is given the certificate that it was given;
2. names: each one asked for must be the caller's, by the enrolment's word, the directory's, or the certificate shown;
3. a renewal asks for what the certificate has (RFC 7030, 4.2.2);
4. the one path of all doors (:mod:`troth.enroll.issuance`): judged now, issued by the gate, in one unit with the row
   that remembers the request, and with the guard that the enrolment still holds and has one left.

Two of the same at once come to one certificate: the second finds the first at the gate, and is asked to come again.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryptography import x509

from troth.enroll.acme.limits import Meters
from troth.enroll.credentials.errors import ENROLMENT_USED_UP, EnrolmentRefused
from troth.enroll.credentials.service import Enrolments
from troth.enroll.errors import AwaitingApproval, Undecided
from troth.enroll.est import errors
from troth.enroll.est.callers import Caller
from troth.enroll.est.errors import EstRefused, EstWaits
from troth.enroll.est.model import Label
from troth.enroll.est.request import EnrolRequest, certified, digest_of
from troth.enroll.est.store import ISSUED, TAKE, EstStore, Tried
from troth.enroll.issuance import HOST_NAMES, Ask, Issuance
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki.catalogue import Catalogue
from troth.pki.errors import REQUEST_RESERVED, GateRefused
from troth.pki.model import CertificateRecord, IssuedCertificate
from troth.pki.names import GeneralNames
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Moment
from troth.trust.subjects.store import SubjectStore

#: Seconds after which a request that is at the gate just now should be sent again.
_AT_ONCE = 1


class _Taken(Exception):
    """The same request is under way, or has just been answered."""


class EstDesk:
    """See the module.

    Args:
        repeat: how long a request is remembered.
        retry_seconds: when a client whose request waits should come again.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        issuance: Issuance,
        catalogue: Catalogue,
        enrolments: Enrolments,
        meters: Meters,
        *,
        repeat: timedelta,
        retry_seconds: int,
    ) -> None:
        self._clock = clock
        self._issuance = issuance
        self._catalogue = catalogue
        self._enrolments = enrolments
        self._meters = meters
        self._store = EstStore(database)
        self._certificates = CertificateStore(database)
        self._subjects = SubjectStore(database.lookups)
        self._repeat = repeat
        self._retry_seconds = retry_seconds

    async def enrol(
        self, caller: Caller, label: Label, request: EnrolRequest, *, address: str | None, renewing: bool = False
    ) -> tuple[bytes, bool]:
        """DER of the certificate, and whether it was given before.

        Raises EstRefused, EstWaits, EnrolmentRefused, IssuanceRefused, AcmeProblem (a limit), or what profile and gate
        raise.
        """
        digest = _digest(label, caller, request, renewing)
        before = await self._store.request(digest)
        given = await self._given(before)
        if given is not None:
            return given, True
        if renewing:
            _same(caller, request)
        names, controlled = await self._names(caller, label, request)
        if caller.enrolment is not None:
            self._meters.take([("orders_per_enrolment", str(caller.enrolment.id))])
        ask = Ask(
            request_id=f"est:{new_id()}",
            profile=label.profile,
            spki=request.key.key.spki,
            names=names,
            common_name=self._common_name(label, request, controlled),
            actor=caller.actor,
            evidence={**caller.evidence, "controlled_names": sorted(controlled), "possession": True},
            request={"protocol": "est", "account": caller.identity, "address": address or ""},
            origin="est",
            refs=_refs(caller),
            subject=caller.subject,
            moment=Moment.RENEW if renewing else Moment.ISSUE,
            waits=True,
        )
        try:
            issued = await self._issuance.issue(
                ask,
                with_reserve=lambda: self._reserving(caller, ask, digest, before, renewing=renewing),
                with_store=lambda certificate: self._stored(caller, label, request, certificate),
            )
        except Undecided as refusal:
            waits = isinstance(refusal, AwaitingApproval)
            detail = refusal.detail if waits else f"what policy needs to know is not known yet; {refusal.detail}"
            raise EstWaits(errors.PENDING, detail, retry_after=self._retry_seconds, **refusal.facts) from refusal
        except (_Taken, GateRefused) as refusal:
            if isinstance(refusal, GateRefused) and refusal.reason is not REQUEST_RESERVED:
                raise
            given = await self._given(await self._store.request(digest))
            if given is None:
                raise EstWaits(errors.PENDING, "it is being signed", retry_after=_AT_ONCE) from refusal
            return given, True
        return issued.der, False

    # --- the same again ------------------------------------------------------------------------------------------

    async def _given(self, tried: Tried | None) -> bytes | None:
        """What a request was given; None if it is to be tried. Raises EstWaits while it is at the gate."""
        if tried is None or self._clock.now() - tried.at >= self._repeat:
            return None
        found = await self._certificates.by_request(tried.request_id)
        if found is None:
            return None
        if found.state == "reserved":
            raise EstWaits(errors.PENDING, "it is being signed", retry_after=_AT_ONCE)
        # One that has been held or revoked since is not handed out again: the request is judged anew.
        return found.der if found.state == "issued" and found.status == "good" else None

    # --- names ---------------------------------------------------------------------------------------------------

    async def _names(self, caller: Caller, label: Label, request: EnrolRequest) -> tuple[GeneralNames, frozenset[str]]:
        """(the names to certify, those of them that are proved). Raises EstRefused for one that nobody vouches for."""
        profile = self._catalogue.profile(label.profile)
        wished = tuple(one for one in request.names if one[0] in profile.names.kinds)
        ours = await self._vouched(caller, wished)
        strangers = [value for kind, value in wished if (kind, value) not in ours]
        if profile.names.others == "refuse":
            strangers += [value for kind, value in request.names if kind not in profile.kinds]
        elif strangers:
            wished, strangers = tuple(one for one in wished if one in ours), []
        if strangers:
            raise EstRefused(errors.NAMES_UNPROVED, ", ".join(sorted(strangers)[:5]))
        return wished, frozenset(value for _, value in wished)

    async def _vouched(self, caller: Caller, names: GeneralNames) -> frozenset[tuple[str, str]]:
        """Those of ``names`` that are the caller's."""
        grant = caller.grant
        found = {one for one in names if grant is not None and grant.vouches and grant.covers(*one)}
        hosts = [value for kind, value in names if kind in HOST_NAMES]
        holders = await self._subjects.by_names(hosts) if hosts else {}
        own = set() if caller.subject is None else {caller.subject.id}
        for kind, value in names:
            holder = holders.get(value) if kind in HOST_NAMES else None
            if holder is not None and caller.subject is not None:
                if holder.id in own:
                    found.add((kind, value))  # the directory says so
            elif (kind, value) in caller.names:
                found.add((kind, value))  # the certificate that was shown says so
        return frozenset(found)

    def _common_name(self, label: Label, request: EnrolRequest, controlled: frozenset[str]) -> str | None:
        """The common name asked for, where the profile takes one and it is among the proved names."""
        wanted = request.key.common_name
        profile = self._catalogue.profile(label.profile)
        if wanted is None or profile.subject or profile.common_name == "absent":
            return None
        return wanted if wanted.lower() in controlled else None

    # --- rows ----------------------------------------------------------------------------------------------------

    def _reserving(self, caller: Caller, ask: Ask, digest: bytes, before: Tried | None, *, renewing: bool) -> Unit:
        attempt = 1 if before is None else before.attempt + 1
        unit = Unit().claim(TAKE, digest, attempt, ask.request_id, self._clock.now(), refuse=_Taken())
        if caller.enrolment is None:
            return unit
        if caller.method != "enrolment" or renewing:
            return self._enrolments.renewing(unit, caller.enrolment)
        if caller.enrolment.kind == "client-identifier":
            spent = EnrolmentRefused(ENROLMENT_USED_UP, "it was good once")
            return self._enrolments.taking(unit, caller.enrolment, spent)
        grant = caller.grant
        unit = self._enrolments.opening(unit, caller.enrolment)
        return unit if grant is None else self._enrolments.ordering(unit, grant)

    def _stored(self, caller: Caller, label: Label, request: EnrolRequest, certificate: IssuedCertificate) -> Unit:
        enrolment = None if caller.enrolment is None else caller.enrolment.id
        method = caller.method if caller.footing is None else caller.footing.method
        return Unit().write(
            ISSUED, certificate.id, label.name, method, enrolment, request.asked, self._clock.now()
        )  # fmt: skip


def _digest(label: Label, caller: Caller, request: EnrolRequest, renewing: bool) -> bytes:
    head = f"{label.name}\0{caller.identity}\0{'renew' if renewing else 'enrol'}\0"
    return hashlib.sha256(head.encode() + request.der).digest()


def _refs(caller: Caller) -> tuple[str, ...]:
    enrolment = () if caller.enrolment is None else (caller.enrolment.ref,)
    return enrolment if caller.certificate is None else (*enrolment, f"certificate:{caller.certificate.id}")


def _same(caller: Caller, request: EnrolRequest) -> None:
    """Raise EstRefused unless a renewal asks for the subject and the names that the present certificate has.

    Or for what its own request asked for: the profile may have put others in their place, and will again.
    """
    record: CertificateRecord | None = caller.certificate
    if record is None or record.der is None:
        raise EstRefused(errors.CERTIFICATE_NEEDED)
    held = digest_of(*certified(x509.load_der_x509_certificate(record.der)))
    first = None if caller.footing is None else caller.footing.asked
    if request.wants_new_name:
        raise EstRefused(errors.SUBJECT_DIFFERS, "a name is not changed by a renewal (changeSubjectName)")
    if request.asked not in (held, first):
        raise EstRefused(errors.SUBJECT_DIFFERS)
