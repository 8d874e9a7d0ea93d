"""Finalizing: an order whose names are proved becomes a certificate (RFC 8555, section 7.4).

Synchronous: the answer already holds the certificate's URL, since several clients mishandle ``processing``. Each try
at the gate has a request id of its own (order and attempt). If the process dies in between, the order stays in
``processing`` until the reserved serial is either issued or burnt; :meth:`Finalizer.recovered` reads which.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

from msgspec.structs import replace

from troth.client.jose import VerifyingKey, b64url_decode
from troth.enroll.acme import errors, store
from troth.enroll.acme.account_store import ACCOUNT_SIGNS, KEY_FREE
from troth.enroll.acme.admission import Admission
from troth.enroll.acme.attested import AttestedOrders
from troth.enroll.acme.authorizations import covers
from troth.enroll.acme.caa_recheck import CaaRecheck
from troth.enroll.acme.devices import DEVICE_TYPES, certified_name
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.model import Account, Authorization, Order
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.store import AcmeStore, proved_by
from troth.enroll.errors import IssuanceRefused, Undecided
from troth.enroll.issuance import Ask, Issuance
from troth.enroll.tokens.evidence import TokenEvidence
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.pki.csr import SigningRequest, parse_csr
from troth.pki.errors import (
    HARDWARE_REQUIRED,
    REQUEST_BURNT,
    REQUEST_RESERVED,
    REQUEST_REUSED,
    VARIABLE_MISSING,
    CsrRefused,
    GateRefused,
    KeyRefused,
    NameRefused,
    ProfileRefused,
)
from troth.pki.model import IssuedCertificate
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit

_ACCOUNT_KEY = "the certificate's key is an account's key"
_TAKEN = (REQUEST_RESERVED, REQUEST_REUSED, REQUEST_BURNT)


class Finalizer:
    """Turns ready orders into certificates."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        issuance: Issuance,
        admission: Admission,
        attested: AttestedOrders,
        caa: CaaRecheck | None = None,
        lately: Lately | None = None,
    ) -> None:
        self._lately = lately
        self._caa = caa
        self._admission = admission
        self._attested = attested
        self._database = database
        self._store = AcmeStore(database.lookups)
        self._certificates = CertificateStore(database.lookups)
        self._clock = clock
        self._issuance = issuance
        self._tokens = TokenEvidence(database.lookups)

    async def finalize(
        self,
        account: Account,
        order: Order,
        payload: dict[str, Any],
        directory: Directory,
        *,
        account_uri: str,
        client: str | None,
        proofs: tuple[Authorization, ...] | None = None,
    ) -> Order:
        """The order, valid, with its certificate. Safe to repeat with the same CSR. Raises AcmeProblem.

        ``account_uri``: how zones name the account (CAA). ``proofs``: the order's authorizations, where they were read
        together with it.
        """
        der = _read_csr(payload)
        digest = hashlib.sha256(der).digest()
        order = await self.recovered(order)
        if order.status != "ready":
            return _answer_to(digest, order)
        names = canonical_names(map(certified_name, order.identifiers))
        request = _checked(der, order, names)
        if proofs is None:
            proofs = await self._store.proofs(order.id)
        proved = proved_by(proofs, self._clock.now())
        if any(covers(proved, name) is None for name in order.identifiers):
            raise AcmeProblem(errors.ORDER_NOT_READY, "an authorization of the order is not valid any more")
        if self._caa is not None:
            await self._caa.check(order, proved, directory, account_uri)
        attempt, thumbprint = order.attempt + 1, _thumbprint(request)
        subject = await self._admission.subject(account)
        device = await self._attested.of(order, directory.attesting)
        ask = Ask(
            request_id=order.request_id(attempt),
            profile=order.profile,
            spki=request.key.spki,
            names=names,
            actor=f"acme:{account.id}",
            evidence={
                "controlled_names": sorted({name.value for name in order.identifiers}),
                "methods": sorted({authz.method for authz in proved.values()}),
                **await self._tokens.of(account.enrolment_id),
            },
            request={"protocol": "acme", "account": str(account.id), "address": client or ""},
            refs=(f"order:{order.id}", f"account:{account.id}"),
            not_after=order.not_after,
            subject=subject,
        )
        if device is not None:
            self._attested.of_account(device, subject)
            self._attested.same_key(device, request.key.sha256)
            ask = self._attested.asked(ask, order, device)

        def reserve() -> Unit:
            unit = Unit().guard(
                store.ORDER_IS, order.id, "ready", order.attempt, refuse=_Moved, key=("acme_order", order.id)
            )
            inactive = partial(AcmeProblem, errors.ACCOUNT_INACTIVE)
            taken = partial(AcmeProblem, errors.BAD_CSR, _ACCOUNT_KEY)
            unit.guard(ACCOUNT_SIGNS, account.id, account.thumbprint, refuse=inactive)
            # Section 11.1: a key that signs ACME requests must not be certified as well.
            unit.guard(KEY_FREE, account.directory, thumbprint, refuse=taken)
            return unit.write(store.ORDER_PROCESSING, order.id, attempt, digest)

        def stored(certificate: IssuedCertificate) -> Unit:
            return Unit().write(store.ORDER_VALID, order.id, certificate.id)

        try:
            certificate = await self._issuance.issue(
                ask,
                with_reserve=reserve,
                with_store=stored,
            )
        except (_Moved, GateRefused) as refusal:
            if isinstance(refusal, GateRefused) and refusal.reason not in _TAKEN:
                raise
            # Another request for the same try was faster.
            present = await self._as_it_is_now(order)
            if present.status == "ready" and present.attempt > order.attempt:
                return await self.finalize(  # and has failed meanwhile
                    account, present, payload, directory, account_uri=account_uri, client=client
                )
            return _answer_to(digest, present)
        except Undecided as refusal:
            # The order stays ready: facts that are not known now may be known soon.
            raise AcmeProblem(refusal.reason, refusal.detail, headers=((b"retry-after", b"60"),)) from refusal
        except IssuanceRefused as refusal:
            raise AcmeProblem(errors.DECISION_REFUSED, refusal.detail) from refusal
        except (ProfileRefused, KeyRefused) as refusal:
            raise AcmeProblem(_problem_of(refusal), refusal.detail) from refusal
        if self._lately is not None:
            self._lately.issued(certificate.id, store.Ordered(account.id, certificate.authority, certificate.der))
        return replace(
            order, status="valid", certificate_id=certificate.id, csr_sha256=digest, attempt=attempt, error=None
        )

    async def recovered(self, order: Order) -> Order:
        """``order``; one that was left in ``processing`` by a crash is moved on once its serial's fate is known."""
        if order.status != "processing":
            return order
        found = await self._certificates.by_request(order.request_id(order.attempt))
        if found is not None and found.state == "reserved":
            return order
        unit = Unit().guard(
            store.ORDER_IS, order.id, "processing", order.attempt, refuse=_Moved, key=("acme_order", order.id)
        )
        if found is not None and found.state == "issued":
            unit.write(store.ORDER_VALID, order.id, found.id)
        else:
            unit.write(store.ORDER_READY_AGAIN, order.id)
        try:
            await self._database.commit(unit)
        except _Moved:
            pass  # somebody else moved it on; the read below tells where to
        return await self._as_it_is_now(order)

    async def _as_it_is_now(self, order: Order) -> Order:
        found = await self._store.order(order.id)
        if found is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such order")
        return found


class _Moved(Exception):
    """Another request moved the order on."""


def _problem_of(refusal: ProfileRefused | KeyRefused) -> Reason:
    """A CSR that does not fit is the client's to mend; a fact that nobody has reported, or a key without attestation,
    is not, and another CSR would not help."""
    lacking = refusal.reason in (VARIABLE_MISSING, HARDWARE_REQUIRED)
    return errors.DECISION_REFUSED if lacking else errors.BAD_CSR


def _answer_to(digest: bytes, order: Order) -> Order:
    """``order``, if it stands for the CSR with this digest already; a client may repeat itself. Raises AcmeProblem."""
    if order.status in ("valid", "processing") and order.csr_sha256 == digest:
        return order
    raise AcmeProblem(errors.ORDER_NOT_READY, f"the order is {order.status}")


def _read_csr(payload: dict[str, Any]) -> bytes:
    value = payload.get("csr")
    if not isinstance(value, str):
        raise AcmeProblem(errors.MALFORMED, "csr is not a string")
    try:
        # Padding is tolerated here and nowhere else: Synology's client sends it.
        return b64url_decode(value.rstrip("="))
    except TrothError as error:
        raise AcmeProblem(errors.MALFORMED, "csr is not base64url") from error


def _checked(der: bytes, order: Order, names: GeneralNames) -> SigningRequest:
    """The CSR, proved to ask for exactly ``names``, the order's. Raises AcmeProblem (badCSR)."""
    kinds = {name.value: name.type for name in order.identifiers}
    try:
        request = parse_csr(der)
        asked = set(request.names)
        devices = {certified_name(name) for name in order.identifiers if name.type in DEVICE_TYPES}
        # A device's own identifier need not stand in its request, and its subject is whatever its manager set: nothing
        # of it is taken over (draft-ietf-acme-device-attest-09, 4).
        asked |= devices
        if request.common_name is not None and not devices:
            # A name may stand in the subject, in the extension, or in both (RFC 8555, 7.4).
            kind = kinds.get(request.common_name.lower(), "dns")
            asked.update(canonical_names([(kind, request.common_name.lower())]))
    except (CsrRefused, KeyRefused, NameRefused) as refusal:
        raise AcmeProblem(errors.BAD_CSR, refusal.detail) from refusal
    wanted = set(names)
    if asked != wanted:
        missing = ", ".join(sorted(value for _, value in wanted - asked)[:5])
        extra = ", ".join(sorted(value for _, value in asked - wanted)[:5])
        detail = f"the CSR's names are not the order's (missing: {missing or 'none'}; extra: {extra or 'none'})"
        raise AcmeProblem(errors.BAD_CSR, detail)
    return request


def _thumbprint(request: SigningRequest) -> str:
    return VerifyingKey.from_public_key(request.public_key, spki=request.key.spki).thumbprint
