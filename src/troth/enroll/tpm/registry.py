"""Which TPM belongs to which device: an operator's word, one line for each.

A maker's certificate says that a TPM is genuine; that it is soldered into *our* laptop 17 nobody can say but whoever
bought the laptop. So an endorsement key is registered with its device before any attestation key of it is certified:
one by one, or from the list that comes with a delivery (:func:`read_csv`).
"""

from __future__ import annotations

import csv
import io
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from troth.audit.event import Event
from troth.enroll.tpm.endorsement import Make, make_of, read_endorsement_key, unpadded
from troth.enroll.tpm.errors import IDENTIFIER_TAKEN, REGISTERED, REGISTRATION, UNREGISTERED, TpmRefused
from troth.enroll.tpm.model import UNKNOWN, RegisteredTpm
from troth.enroll.tpm.store import ADD_TPM, IDENTIFIER_OWN, REMOVE_TPM, TPM_THERE, TpmStore
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki.attributes import canonical_attribute
from troth.pki.errors import KeyRefused, NameRefused
from troth.pki.names import canonical_name
from troth.pki.unreadable import UNREADABLE
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Kind, Subject
from troth.trust.subjects.whom import Subjects

MAX_ROWS, MAX_CSV = 1000, 4_194_304
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_MAKER = re.compile(r"id:[0-9A-F]{8}\Z")
_COLUMNS = ("device", "ek", "identifier", "manufacturer", "model", "version")


@dataclass(frozen=True, slots=True)
class Registration:
    """One TPM as it is asked for.

    Attributes:
        device: a device of the directory: id, name or ``device:NAME``.
        ek: endorsement key: SHA-256 of its SubjectPublicKeyInfo (hexadecimal), the key or its certificate (PEM, or DER
            in base64).
        identifier: permanent identifier; empty: the device's name.
        manufacturer, model, version: what the TPM is, where no certificate says it.
    """

    device: str
    ek: str
    identifier: str = ""
    manufacturer: str = ""
    model: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A registration that can be made."""

    tpm: RegisteredTpm
    device: Subject


class TpmRegistry:
    """See the module."""

    def __init__(self, database: Database, clock: Clock, subjects: Subjects) -> None:
        self._database = database
        self._clock = clock
        self._subjects = subjects
        self.store = TpmStore(database)

    async def plan(self, wanted: Sequence[Registration], *, actor: str) -> list[Planned]:
        """What registering ``wanted`` would do. Raises TpmRefused or TrustError, naming the first that cannot be."""
        if not 0 < len(wanted) <= MAX_ROWS:
            raise TpmRefused(REGISTRATION, f"1 to {MAX_ROWS} TPMs at once, not {len(wanted)}")
        planned = [await self._planned(one, actor) for one in wanted]
        seen: dict[bytes, str] = {}
        for one in planned:
            if one.tpm.ek_sha256 in seen:
                raise TpmRefused(REGISTERED, f"{one.device.name} and {seen[one.tpm.ek_sha256]} have the same TPM")
            seen[one.tpm.ek_sha256] = one.device.name
        known = await self.store.known(list(seen))
        if known:
            raise TpmRefused(
                REGISTERED, f"the TPM of {seen[known[0].ek_sha256]} is registered already: {known[0].ek_sha256.hex()}"
            )
        await self._own_identifiers(planned)
        return planned

    async def register(self, wanted: Sequence[Registration], *, actor: str, joined: Unit) -> list[Planned]:
        """Register all of ``wanted`` or none, with ``joined``. Raises as :meth:`plan` does."""
        planned = await self.plan(wanted, actor=actor)
        unit = Unit()
        for one in planned:
            tpm, make = one.tpm, one.tpm.make
            unit.claim(
                ADD_TPM, tpm.ek_sha256, tpm.device_id, tpm.identifier, make.manufacturer, make.model, make.version,
                tpm.added_at, tpm.actor, refuse=TpmRefused(REGISTERED, tpm.ek_sha256.hex()),
            )  # fmt: skip
            taken = TpmRefused(IDENTIFIER_TAKEN, f"{one.device.name}: {tpm.identifier!r}")
            key = ("tpm_identifier", tpm.identifier)
            unit.guard(IDENTIFIER_OWN, tpm.identifier, tpm.device_id, refuse=taken, key=key)
            unit.record(_event("tpm.registered", one, actor))
        await self._database.commit(unit.absorb(joined))
        return planned

    async def find(self, ek: str) -> Planned:
        """The registered TPM of an endorsement key, given as in a registration. Raises TpmRefused."""
        digest, _ = endorsement_of(ek)
        found = await self.store.tpm(digest)
        if found is None:
            raise TpmRefused(UNREGISTERED, digest.hex())
        return Planned(found, await self._subjects.find(str(found.device_id)))

    async def remove(self, ek: str, *, actor: str, joined: Unit) -> Planned:
        """Forget a TPM: no attestation key of it is certified any more. Raises TpmRefused."""
        found = await self.find(ek)
        gone = TpmRefused(UNREGISTERED, found.tpm.ek_sha256.hex())
        unit = Unit().guard(
            TPM_THERE, found.tpm.ek_sha256, found.tpm.device_id, refuse=gone, key=("tpm", found.tpm.ek_sha256)
        )
        unit.write(REMOVE_TPM, found.tpm.ek_sha256)
        unit.record(_event("tpm.removed", found, actor))
        await self._database.commit(unit.absorb(joined))
        return found

    async def _own_identifiers(self, planned: Sequence[Planned]) -> None:
        """One identifier, one device, or an order for it would be about either. A device may have several TPMs."""
        holders = {one.tpm.identifier: one.device for one in planned}
        for one in planned:
            known = {tpm.device_id for tpm in await self.store.of_identifier(one.tpm.identifier)}
            if {*known, holders[one.tpm.identifier].id} != {one.device.id}:
                raise TpmRefused(IDENTIFIER_TAKEN, f"{one.device.name}: {one.tpm.identifier!r}")

    async def _planned(self, wanted: Registration, actor: str) -> Planned:
        digest, make = endorsement_of(wanted.ek)
        device = await self._subjects.find(wanted.device, kind=Kind.DEVICE)
        if device.kind is not Kind.DEVICE:
            raise TpmRefused(REGISTRATION, f"{wanted.device!r} is a {device.kind.value}, no device")
        told = {name: getattr(wanted, name) for name in ("manufacturer", "model", "version") if getattr(wanted, name)}
        make = replace(make, **told)
        try:
            _, identifier = canonical_name("permanent-identifier", wanted.identifier or device.name)
            if not _MAKER.match(make.manufacturer):
                raise TpmRefused(REGISTRATION, f"manufacturer {make.manufacturer[:40]!r} is not written id:49465800")
            canonical_attribute("tpmModel", make.model), canonical_attribute("tpmVersion", make.version)
        except NameRefused as refusal:
            raise TpmRefused(REGISTRATION, f"{device.name}: {refusal.detail}") from refusal
        made = RegisteredTpm(digest, device.id, identifier, make, self._clock.now(), actor)
        return Planned(made, device)


def read_csv(text: str) -> list[Registration]:
    """Registrations from a table with a header: ``device`` and ``ek``, further columns as in Registration.

    Raises TpmRefused with the line that is wrong.
    """
    if len(text) > MAX_CSV:
        raise TpmRefused(REGISTRATION, f"a table of more than {MAX_CSV:,} characters")
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        columns = tuple(name.strip().lower() for name in reader.fieldnames or ())
        if not {"device", "ek"} <= set(columns) <= set(_COLUMNS) or len(set(columns)) != len(columns):
            raise TpmRefused(REGISTRATION, f"the first line names columns: device, ek, and any of {_COLUMNS[2:]}")
        reader.fieldnames = columns
        found = []
        for row in reader:
            if None in row or None in row.values():
                raise TpmRefused(REGISTRATION, f"line {reader.line_num} has not {len(columns)} columns")
            found.append(Registration(**{name: value.strip() for name, value in row.items()}))
            if len(found) > MAX_ROWS:
                raise TpmRefused(REGISTRATION, f"more than {MAX_ROWS} TPMs at once")
    except csv.Error as error:
        raise TpmRefused(REGISTRATION, f"the table cannot be read: {error}") from error
    return found


def endorsement_of(text: str) -> tuple[bytes, Make]:
    """(SHA-256 of the endorsement key, what its certificate says of the TPM) of any form of one. Raises TpmRefused."""
    digest = text.strip().replace(":", "").lower()
    if _SHA256.match(digest):
        return bytes.fromhex(digest), UNKNOWN
    if len(text) > 16_384:
        raise TpmRefused(REGISTRATION, "an endorsement key longer than 16,384 characters")
    try:
        certificate, spki = _key_or_certificate(text.strip())
        make = UNKNOWN if certificate is None else make_of(certificate)
        return read_endorsement_key(spki).sha256, make
    except KeyRefused as refusal:
        raise TpmRefused(REGISTRATION, f"the endorsement key is refused: {refusal.detail}") from refusal
    except UNREADABLE as error:
        raise TpmRefused(
            REGISTRATION, "ek is the SHA-256 of the endorsement key, or the key or its certificate (PEM, base64 of DER)"
        ) from error


def _key_or_certificate(text: str) -> tuple[x509.Certificate | None, bytes]:
    certificate = None
    if text.startswith("-----BEGIN CERTIFICATE-----"):
        certificate = x509.load_pem_x509_certificate(text.encode())
    elif text.startswith("-----BEGIN"):
        key = load_pem_public_key(text.encode())
        return None, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        data = unpadded(b64decode(text, validate=True))
        try:
            key = load_der_public_key(data)
            return None, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:
            certificate = x509.load_der_x509_certificate(data)
    return certificate, certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _event(kind: str, one: Planned, actor: str) -> Event:
    make = one.tpm.make
    data: Mapping[str, Json] = {
        "ek_sha256": one.tpm.ek_sha256.hex(),
        "device": one.device.name,
        "identifier": one.tpm.identifier,
        "manufacturer": make.manufacturer,
        "model": make.model,
        "version": make.version,
    }
    return Event(kind, actor, (one.device.ref,), dict(data))
