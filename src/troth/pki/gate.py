"""The gate: the one place where certificates come into being.

How a certificate is made, and why no crash can break a promise:

1. *Shape*: the compiled profile turns the request into the exact to-be-signed bytes, or refuses.
2. *Reserve*: request id, serial number and those bytes are committed, with the caller's rows and the ledger event.
   From here on a record exists of what may be signed; before, nothing can be signed.
3. *Lint* the bytes that were reserved. Passing yields a single-use token.
4. *Sign* once: the token is redeemed, the signer (another process) signs and checks its own limits.
5. *Verify*: the signature verifies under the authority's key and the certificate holds exactly the bytes reserved.
6. *Store*, guarded: still reserved, and the database's own copy equals what was signed. The ledger event with it.
7. *Answer*, only now.

Whatever fails after 2 burns the serial number (``burn``); nothing is ever signed a second time. A process killed
between 2 and 6 leaves a reservation that the worker burns. A hold placed between 2 and 6 is kept: status belongs to
the row, not to the bytes. The same request id again finds the row: issued → the same certificate; else an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from functools import partial
from uuid import UUID

import msgspec
from msgspec.structs import replace

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki import algorithms
from troth.pki.attributes import canonical_attributes, common_name_of
from troth.pki.burn import Burner
from troth.pki.catalogue import Catalogue
from troth.pki.der import SEQUENCE, Reader
from troth.pki.errors import (
    AUTHORITY_CLASS,
    KEY_COMPROMISED,
    PROFILE_REFUSES,
    REQUEST_BURNT,
    REQUEST_RESERVED,
    REQUEST_REUSED,
    SIGNATURE_WRONG,
    STORE_REFUSED,
    AuthorityRefused,
    GateRefused,
    KeyRefused,
    ProfileRefused,
)
from troth.pki.events import RESERVED, certificate_event
from troth.pki.keycheck import check_spki
from troth.pki.lint import Expected, LintToken, lint
from troth.pki.lint_full import lint_tbs
from troth.pki.model import CertificateRecord, IssuanceRequest, IssuedCertificate
from troth.pki.names import canonical_names
from troth.pki.ports import CertificateSigner, Interlock
from troth.pki.serial import new_serial
from troth.pki.store import BIND, KEY_SOUND, NAME, RESERVE, STORABLE, STORE, CertificateStore, backwards
from troth.pki.template import TbsBytes, Template, subject_of
from troth.store.errors import CommitUnknown, StoreError
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

#: Longer names (a directory name may be) are not searched for: an index entry has an end.
_SEARCHED = 2048

WithStore = Callable[[IssuedCertificate], Unit]
#: How often a status change may come between signing and storing before we give up.
_STORE_ATTEMPTS = 5
#: Seconds before each try to burn what could not be burnt at once, the database being away.
BURN_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class _Shaped(msgspec.Struct, frozen=True):
    """A request together with the bytes that stand for it."""

    id: UUID
    request: IssuanceRequest
    template: Template
    key_id: str
    expected: Expected
    tbs: TbsBytes


class Gate:
    """Issues certificates. One per process; ``instance`` is the process's row in ``instance``."""

    def __init__(
        self,
        database: Database,
        signer: CertificateSigner,
        catalogue: Catalogue,
        interlock: Interlock,
        clock: Clock,
        *,
        instance: UUID,
    ) -> None:
        self._database = database
        self._signer = signer
        self._catalogue = catalogue
        self._interlock = interlock
        self._clock = clock
        self._instance = instance
        self._burner = Burner(database, clock)
        self._burning: set[asyncio.Task[None]] = set()

    async def issue(
        self, request: IssuanceRequest, *, with_reserve: Unit | None = None, with_store: WithStore | None = None
    ) -> IssuedCertificate:
        """The certificate for ``request``, durably stored.

        Args:
            with_reserve: rows and guards that must commit with the reservation (an order, a decision).
            with_store: makes the rows that commit with the certificate; called again if the store is tried again.

        Raises ProfileRefused, AuthorityRefused, KeyRefused, NameRefused (nothing was written), ClockRefused,
        GateRefused, LintRefused, StoreError, what the signer raises, or the refusal of a guard of the caller's.
        """
        # 1. Shape.
        await self._interlock.ensure()
        shaped = self._shape(request)
        try:
            return await self._issue(shaped, with_reserve, with_store)
        except asyncio.CancelledError:
            # The caller has gone, perhaps between reserving and storing.
            self._burn_later(shaped.id, "given up")
            raise

    async def _issue(
        self, shaped: _Shaped, with_reserve: Unit | None, with_store: WithStore | None
    ) -> IssuedCertificate:
        # 2. Reserve.
        found = await self._reserve(shaped, with_reserve)
        if found is not None:
            return found
        try:
            # 3. Lint what was reserved.
            token = lint(shaped.tbs, shaped.template, shaped.expected, reservation=shaped.id)
            if shaped.template.profile.ocsp_nocheck:
                await asyncio.to_thread(lint_tbs, shaped.tbs, shaped.template)  # few, and each vouches for many
            # 4. and 5. Sign once, verify.
            der = await self._sign(shaped, token)
            # 6. Store.
            issued = await self._store(shaped, der, with_store)
        except Exception as error:
            # What the caller hears is why the issuance failed; the serial number is burnt before.
            await self._burn(shaped, error)
            raise
        # 7. Answer.
        return issued

    async def find(self, request: IssuanceRequest) -> IssuedCertificate | None:
        """The certificate that ``request.request_id`` yielded before, or None if the id is unused.

        Who asks names a profile, a key and names; which authority signs is our choice, and a rollover moves it. A
        request that is repeated across one gets the certificate that the retiring authority made for it.

        Raises GateRefused when the id is reserved, burnt, or was used for something else.
        """
        row = await CertificateStore(self._database).by_request(request.request_id)
        if row is None:
            return None
        names = canonical_names(request.names)
        same = (row.profile, row.spki_sha256, row.names, row.subject) == (
            request.profile,
            check_spki(request.spki).sha256,
            names,
            canonical_attributes(subject_of(request.subject, request.common_name)),
        )
        if not same:
            raise GateRefused(REQUEST_REUSED, certificate_id=str(row.id))
        if row.state == "reserved":
            raise GateRefused(REQUEST_RESERVED, certificate_id=str(row.id))
        if row.state == "burnt":
            raise GateRefused(REQUEST_BURNT, certificate_id=str(row.id))
        return self._issued(row)

    def _issued(self, row: CertificateRecord) -> IssuedCertificate:
        if row.der is None or row.sha256 is None:
            raise GateRefused(REQUEST_RESERVED, certificate_id=str(row.id))
        return IssuedCertificate(
            row.id, row.serial, row.der, row.sha256, self._catalogue.chain(row.authority), row.not_before,
            row.not_after, row.profile, row.authority, row.status, row.status_version,
        )  # fmt: skip

    def _shape(self, request: IssuanceRequest) -> _Shaped:
        authority = self._catalogue.authority(request.authority)
        profile = self._catalogue.profile(request.profile)
        # What an authority has issued is answered for until it expires, in whatever state the authority is.
        key_id = authority.crl_key() if profile.ocsp_nocheck else authority.issuing_key()
        template = self._catalogue.template(request.authority, request.profile)
        if profile.issuer_class not in authority.issuer_classes and not profile.ocsp_nocheck:
            raise AuthorityRefused(AUTHORITY_CLASS, f"{authority.slug} does not issue for {profile.issuer_class}")
        key = check_spki(request.spki)
        names = canonical_names(request.names)
        subject = canonical_attributes(subject_of(request.subject, request.common_name))
        common_name = common_name_of(subject)
        if profile.basic_constraints == "ca":
            raise ProfileRefused(PROFILE_REFUSES, f"profile {request.profile} is for ceremonies: it makes an authority")
        profile.allow(
            names, common_name, key.kind, subject=subject, sid=request.sid, key_assurance=request.key_assurance
        )
        now = self._clock.now()
        begin, end = template.validity(now, request.lifetime, request.not_after, stagger=random.random())  # noqa: S311
        serial = new_serial(now)
        tbs = template.tbs(
            serial=serial, spki=key.spki, names=names, subject=subject, sid=request.sid, not_before=begin, not_after=end
        )
        expected = Expected(serial, key.spki, names, common_name, begin, end, now, subject, request.sid)
        request = replace(request, spki=key.spki, names=names, subject=subject, common_name=common_name)
        return _Shaped(new_id(), request, template, key_id, expected, tbs)

    async def _reserve(self, shaped: _Shaped, with_reserve: Unit | None) -> IssuedCertificate | None:
        """Commit the reservation; or the certificate that this request id has yielded before."""
        try:
            await self._database.commit(self._reserve_unit(shaped, with_reserve))
        except CommitUnknown:
            # It may be reserved. Nothing was signed; burning finds the row if it is there.
            await self._burn_quietly(shaped.id, "reserve outcome unknown")
            self._burn_later(shaped.id, "reserve outcome unknown")  # the server may have been at it still
            raise
        except Exception:
            # Taken already? A repeated request finds its caller's guards failing, too, so whoever refused, look.
            found = await self.find(shaped.request)
            if found is not None:
                return found
            raise
        return None

    def _reserve_unit(self, shaped: _Shaped, with_reserve: Unit | None) -> Unit:
        request, expected, template = shaped.request, shaped.expected, shaped.template
        spki_sha256 = hashlib.sha256(expected.spki).digest()
        unit = Unit().guard(KEY_SOUND, spki_sha256, refuse=partial(KeyRefused, KEY_COMPROMISED))
        unit.claim(
            RESERVE,
            request.request_id,
            shaped.id,
            request.authority,
            expected.serial,
            request.profile,
            template.profile_version,
            spki_sha256,
            msgspec.json.encode(request.names).decode(),
            request.common_name,
            expected.not_before,
            expected.not_after,
            shaped.tbs,
            request.decision_id,
            self._instance,
            expected.now,
            request.actor,
            template.crl_shard(expected.serial),
            template.no_rev_avail,
            request.key_assurance,
            msgspec.json.encode(request.subject).decode(),
            refuse=partial(GateRefused, REQUEST_RESERVED, "request id or serial number is taken"),
        )
        unit.write_all(BIND, [(binding.subject_id, shaped.id, binding.role) for binding in request.subjects])
        searched = {backwards(value) for _, value in request.names}
        if request.common_name is not None:
            searched.add(backwards(request.common_name))
        searched = {name for name in searched if len(name.encode()) <= _SEARCHED}
        unit.write_all(NAME, [(name, shaped.id) for name in sorted(searched)])
        unit.record(
            certificate_event(
                RESERVED,
                actor=request.actor,
                certificate_id=shaped.id,
                serial=expected.serial,
                authority=request.authority,
                status="good",
                status_version=0,
                status_at=expected.now,
                reason=None,
                not_after=expected.not_after,
                more={
                    "request_id": request.request_id,
                    "decision_id": None if request.decision_id is None else str(request.decision_id),
                    "profile": request.profile,
                    "profile_version": template.profile_version,
                    "names": [list(name) for name in request.names],
                    "common_name": request.common_name,
                    "subject": [list(attribute) for attribute in request.subject],
                    "key_assurance": request.key_assurance,
                    "tbs_sha256": hashlib.sha256(shaped.tbs).hexdigest(),
                },
            )
        )
        return unit if with_reserve is None else unit.absorb(with_reserve)

    async def _sign(self, shaped: _Shaped, token: LintToken) -> bytes:
        # The reservation may have waited for a slow disk: the clocks are asked again, from the cache as a rule.
        await self._interlock.ensure()
        token.redeem(shaped.request.authority, shaped.id, shaped.tbs)
        signature = await self._signer.certify(shaped.key_id, shaped.tbs, shaped.id)
        if not algorithms.verifies(shaped.template.issuer_key, signature, shaped.tbs):
            raise GateRefused(SIGNATURE_WRONG, f"signature by key {shaped.key_id}")
        der = shaped.template.certificate(shaped.tbs, signature)
        if certificate_tbs(der) != shaped.tbs:
            raise GateRefused(SIGNATURE_WRONG, "the certificate does not hold the reserved bytes")
        return der

    async def _store(self, shaped: _Shaped, der: bytes, with_store: WithStore | None) -> IssuedCertificate:
        expected, request = shaped.expected, shaped.request
        issued = IssuedCertificate(
            shaped.id,
            expected.serial,
            der,
            hashlib.sha256(der).digest(),
            self._catalogue.chain(request.authority),
            expected.not_before,
            expected.not_after,
            request.profile,
            request.authority,
        )
        status_at, reason = expected.now, None
        for _ in range(_STORE_ATTEMPTS):
            refusal = GateRefused(STORE_REFUSED, certificate_id=str(shaped.id))
            unit = Unit()
            unit.guard(
                STORABLE, shaped.id, shaped.tbs, issued.status_version, refuse=refusal, key=("certificate", shaped.id)
            )
            unit.write(STORE, shaped.id, der, issued.sha256, self._clock.now())
            unit.record(
                certificate_event(
                    "certificate.issued",
                    actor=request.actor,
                    certificate_id=shaped.id,
                    serial=expected.serial,
                    authority=request.authority,
                    status=issued.status,
                    status_version=issued.status_version,
                    status_at=status_at,
                    reason=reason,
                    not_after=expected.not_after,
                    subjects=[binding.subject_id for binding in request.subjects],
                    decision_id=request.decision_id,
                    more={"profile": request.profile, "sha256": issued.sha256.hex()},
                )
            )
            if with_store is not None:
                unit.absorb(with_store(issued))
            try:
                await self._database.commit(unit)
                return issued
            except CommitUnknown:
                row = await CertificateStore(self._database).by_id(shaped.id)
                if row is None or row.state != "issued":
                    raise
                return self._issued(row)
            except GateRefused as error:
                # A hold or revocation came between: take its status over and store again. Nothing is signed again.
                row = await CertificateStore(self._database).by_id(shaped.id) if error is refusal else None
                if row is None or row.state != "reserved" or row.tbs != shaped.tbs:
                    raise
                issued = replace(issued, status=row.status, status_version=row.status_version)
                status_at, reason = row.status_at, row.revocation_reason
        raise GateRefused(STORE_REFUSED, "its status did not come to rest", certificate_id=str(shaped.id))

    async def _burn(self, shaped: _Shaped, error: Exception) -> None:
        code = error.code if isinstance(error, TrothError) else type(error).__name__
        log.error("certificate.failed", certificate_id=str(shaped.id), serial=shaped.expected.serial.hex(), error=code)
        await self._burn_quietly(shaped.id, code)

    async def _burn_quietly(self, certificate_id: UUID, why: str) -> None:
        try:
            await self._burner.burn(certificate_id, why=why)
        except Exception as error:  # noqa: BLE001 -- it is burnt later; the first error is the one to tell
            log.warning("certificate.burn_postponed", certificate_id=str(certificate_id), error=str(error))
            self._burn_later(certificate_id, why)

    def _burn_later(self, certificate_id: UUID, why: str) -> None:
        """Burn in the background. The worker would do it as well, but gives a living process a whole minute."""
        task = asyncio.create_task(self._burn_until_done(certificate_id, why))
        self._burning.add(task)
        task.add_done_callback(self._burning.discard)

    async def _burn_until_done(self, certificate_id: UUID, why: str) -> None:
        for pause in BURN_PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._burner.burn(certificate_id, why=why)
            except StoreError:
                continue
            return


def certificate_tbs(der: bytes) -> bytes:
    """The TBSCertificate inside a DER certificate, as it stands."""
    return Reader(der).enter(SEQUENCE).whole()
