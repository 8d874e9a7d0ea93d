"""The listeners' own certificate: issued by our own authority, renewed by the worker, taken up without a restart.

It passes the gate like any other and is bound to a protected workload (``troth``), so that no signal can put the
installation's own door on hold. Its key is made here, in the worker, and lies in a file that only the owner reads.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.log import get_logger
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.pki.keys.files import write_private
from troth.pki.model import Binding, IssuanceRequest
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.pem import pem, pem_chain
from troth.pki.store import CertificateStore
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.model import Kind, Subject
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import add_fresh

log = get_logger("assembly")

PROFILE = "troth-service"
WORKLOAD = "troth"
_ACTOR = "system:identity"
_TLS = frozenset({"https", "admin"})


class ServiceIdentity:
    """Keeps ``path`` filled with a good chain and key for the hosts in ``state``."""

    def __init__(
        self, database: Database, gate: Gate, catalogue: Catalogue, path: Path, state: State, clock: Clock
    ) -> None:
        self._database = database
        self._gate = gate
        self._path = path
        self._clock = clock
        self._catalogue = catalogue
        self._names = _names_of(state)

    async def ensure(self) -> bool:
        """Issue a new identity if there is none, half of its life is over, names or issuer changed, or it is revoked.

        A key that somebody else has blocks the certificate (``blocked``), and clients that ask would turn away; the
        key made here is a fresh one each time.
        """
        issuer = self._catalogue.issuer_for(PROFILE)
        present = self._present(issuer.x509)
        if present is not None and await self._is_good(present):
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject = await self.subject()
        issued = await self._gate.issue(
            IssuanceRequest(
                request_id=f"{WORKLOAD}:{new_id()}",
                authority=issuer.slug,
                profile=PROFILE,
                spki=spki,
                names=self._names,
                actor=_ACTOR,
                subjects=(Binding(subject),),
            )
        )
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        write_private(self._path, pem_chain([issued.der, *issued.chain]) + pem(private, "PRIVATE KEY"))
        log.info("identity.renewed", names=[value for _, value in self._names], not_after=issued.not_after.isoformat())
        return True

    def _present(self, issuer: x509.Certificate) -> x509.Certificate | None:
        """The certificate in the file, if it is ours, says what it should and is young enough."""
        try:
            certificate = x509.load_pem_x509_certificate(self._path.read_bytes())
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            certificate.verify_directly_issued_by(issuer)
        except Exception:  # noqa: BLE001 -- missing, damaged or foreign: whatever it is, it is made anew
            return None
        shown = {str(name.value) for name in names}
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        fitting = shown == {value for _, value in self._names} and self._clock.now() < _half(begins, ends)
        return certificate if fitting else None

    async def _is_good(self, certificate: x509.Certificate) -> bool:
        """Whether it is neither revoked nor held; one that the database does not know is not good."""
        row = await CertificateStore(self._database).by_sha256(certificate.fingerprint(hashes.SHA256()))
        return row is not None and row.status == "good"

    async def subject(self) -> UUID:
        """The protected workload that stands for this installation; it is made if there is none."""
        store = SubjectStore(self._database)
        found = await store.find(Kind.WORKLOAD, WORKLOAD)
        if found is None:
            made = Subject(new_id(), Kind.WORKLOAD, WORKLOAD, "troth", protected=True, fresh=True)
            await self._database.commit(add_fresh(Unit(), [made], actor=_ACTOR, at=self._clock.now()))
            found = made
        return found.id


def _half(begins: datetime, ends: datetime) -> datetime:
    return begins + (ends - begins) / 2


def _names_of(state: State) -> GeneralNames:
    """The hosts under which the TLS listeners are reached, and this machine's own ways to them."""
    hosts = {"localhost", "127.0.0.1", "::1"}
    hosts |= {urlsplit(url).hostname or "" for url in (state.public_url, state.admin_url)}
    hosts |= {address.host for name, address in state.listeners.items() if name in _TLS}
    return canonical_names((_kind(host), host) for host in hosts - {"", "*", "0.0.0.0", "::"})


def _kind(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "dns"
    return "ip"
