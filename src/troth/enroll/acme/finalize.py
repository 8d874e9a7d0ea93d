"""Finalizing: an order whose names are proved becomes a certificate (RFC 8555, section 7.4).

Synchronous: the answer already holds the certificate's URL, since several clients mishandle ``processing``. Each try
at the gate has a request id of its own (order and attempt). If the process dies in between, the order stays in
``processing`` until the reserved serial is either issued or burnt; :meth:`Finalizer.recovered` reads which.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from troth.client.jose import b64url_decode
from troth.enroll.acme import errors, store
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.model import Account, Order
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.store import AcmeStore
from troth.enroll.errors import IssuanceRefused
from troth.enroll.issuance import Ask, Issuance
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.pki.csr import SigningRequest, parse_csr
from troth.pki.errors import CsrRefused, KeyRefused, NameRefused, ProfileRefused
from troth.pki.model import IssuedCertificate
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit


class Finalizer:
    """Turns ready orders into certificates."""

    def __init__(self, database: Database, clock: Clock, issuance: Issuance, keys: AccountKeys) -> None:
        self._database = database
        self._store = AcmeStore(database)
        self._certificates = CertificateStore(database)
        self._clock = clock
        self._issuance = issuance
        self._keys = keys

    async def finalize(self, account: Account, order: Order, payload: dict[str, Any], *, client: str | None) -> Order:
        """The order, valid, with its certificate. Safe to repeat with the same CSR. Raises AcmeProblem."""
        der = _read_csr(payload)
        digest = hashlib.sha256(der).digest()
        order = await self.recovered(order)
        if order.status in ("valid", "processing") and order.csr_sha256 == digest:
            return order
        if order.status != "ready":
            raise AcmeProblem(errors.ORDER_NOT_READY, f"the order is {order.status}")
        request = _checked(der, order)
        self._refuse_account_key(request, account)
        attempt = order.attempt + 1

        def reserve() -> Unit:
            unit = Unit().guard(
                store.ORDER_IS, order.id, "ready", order.attempt, refuse=_Moved(), key=("acme_order", order.id)
            )
            unit.guard(store.ACCOUNT_VALID, account.id, refuse=AcmeProblem(errors.ACCOUNT_INACTIVE))
            return unit.write(store.ORDER_PROCESSING, order.id, attempt, digest)

        def stored(certificate: IssuedCertificate) -> Unit:
            return Unit().write(store.ORDER_VALID, order.id, certificate.id)

        try:
            certificate = await self._issuance.issue(
                Ask(
                    request_id=order.request_id(attempt),
                    profile=order.profile,
                    spki=request.key.spki,
                    names=_names(order),
                    actor=f"acme:{account.id}",
                    evidence={"controlled_names": [name.value for name in order.identifiers]},
                    request={"protocol": "acme", "account": str(account.id), "address": client or ""},
                    refs=(f"order:{order.id}", f"account:{account.id}"),
                    lifetime=None if order.not_after is None else order.not_after - self._clock.now(),
                ),
                with_reserve=reserve,
                with_store=stored,
            )
        except _Moved:
            return await self._as_it_is_now(order)
        except IssuanceRefused as refusal:
            raise AcmeProblem(errors.DECISION_REFUSED, refusal.detail) from refusal
        except (ProfileRefused, KeyRefused) as refusal:
            raise AcmeProblem(errors.BAD_CSR, refusal.detail) from refusal
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
            store.ORDER_IS, order.id, "processing", order.attempt, refuse=_Moved(), key=("acme_order", order.id)
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

    def _refuse_account_key(self, request: SigningRequest, account: Account) -> None:
        """RFC 8555, 11.1: a key that signs ACME requests must not be certified as well."""
        if self._keys.stored(account.jwk).spki() == request.key.spki:
            raise AcmeProblem(errors.BAD_CSR, "the certificate's key is the account's key")


class _Moved(Exception):
    """Another request moved the order on."""


def _read_csr(payload: dict[str, Any]) -> bytes:
    value = payload.get("csr")
    if not isinstance(value, str):
        raise AcmeProblem(errors.MALFORMED, "csr is not a string")
    try:
        # Padding is tolerated here and nowhere else: Synology's client sends it.
        return b64url_decode(value.rstrip("="))
    except TrothError as error:
        raise AcmeProblem(errors.MALFORMED, "csr is not base64url") from error


def _names(order: Order) -> GeneralNames:
    return canonical_names((name.type, name.value) for name in order.identifiers)


def _checked(der: bytes, order: Order) -> SigningRequest:
    """The CSR, proved to ask for exactly the order's names. Raises AcmeProblem (badCSR)."""
    try:
        request = parse_csr(der)
        asked = set(request.names)
        if request.common_name is not None and not asked:
            # Old clients put the only name into the subject.
            kinds = {name.value: name.type for name in order.identifiers}
            asked = set(canonical_names([(kinds.get(request.common_name.lower(), "dns"), request.common_name)]))
    except (CsrRefused, KeyRefused, NameRefused) as refusal:
        raise AcmeProblem(errors.BAD_CSR, refusal.detail) from refusal
    wanted = set(_names(order))
    if asked != wanted:
        missing = ", ".join(sorted(value for _, value in wanted - asked)[:5])
        extra = ", ".join(sorted(value for _, value in asked - wanted)[:5])
        detail = f"the CSR's names are not the order's (missing: {missing or 'none'}; extra: {extra or 'none'})"
        raise AcmeProblem(errors.BAD_CSR, detail)
    if request.common_name is not None and request.common_name.lower() not in {value for _, value in wanted}:
        raise AcmeProblem(errors.BAD_CSR, "the common name is not one of the order's names")
    return request
