"""Where a RADIUS worker has its certificate and key from: the database and the signer, or files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.radius_settings import RadiusSettings
from troth.radius.eap.errors import UNUSABLE_IDENTITY, IdentityUnusable
from troth.radius.eap.identity import ServerIdentity, identity_from_files, identity_of, with_second
from troth.radius.identity.store import IdentityReader
from troth.store.unit import Reader

log = get_logger("radius")


class KeyRelease(Protocol):
    """The one thing that this role may ask of the signer (``troth.pki.signer.client.SignerClient``)."""

    async def release_key(self, key_id: str) -> bytes:
        """The private key: PKCS#8, DER."""
        ...


class IdentitySource(Protocol):
    """One of those below."""

    async def refresh(self) -> ServerIdentity | None:
        """What to show devices now; None while there is nothing in force. Costs little where nothing has changed."""
        ...


def source_of(settings: RadiusSettings, reader: Reader, keys: KeyRelease, clock: Clock) -> IdentitySource:
    """By the settings: files, or what was issued. Raises IdentityUnusable where a file or its key is missing."""
    first = _files(settings.certificate, settings.key, "radius.certificate and radius.key")
    second = _files(settings.rsa_certificate, settings.rsa_key, "radius.rsa_certificate and radius.rsa_key")
    if second is None and settings.rsa_authority:
        second = IssuedIdentity(reader, keys, clock, rsa=True)
    if first is None:
        first = IssuedIdentity(reader, keys, clock)
    return first if second is None else Both(first, second)


def _files(certificate: str, key: str, named: str) -> IdentitySource | None:
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise IdentityUnusable(UNUSABLE_IDENTITY, f"{named} belong together; one is missing")
    return IdentityInFiles(Path(certificate), Path(key))


class Both:
    """One for all devices, and a second for those that do not take its kind of key. Without the second, the first."""

    def __init__(self, first: IdentitySource, second: IdentitySource) -> None:
        self._sources = first, second
        self._of: tuple[ServerIdentity | None, ServerIdentity | None] = (None, None)
        self._present: ServerIdentity | None = None

    async def refresh(self) -> ServerIdentity | None:
        """See :class:`IdentitySource`. Raises StoreError."""
        first, second = self._sources
        of = await first.refresh(), await second.refresh()
        if of[0] is not self._of[0] or of[1] is not self._of[1]:
            self._of = of
            try:
                self._present = None if of[0] is None else with_second(of[0], of[1])
            except TrothError as error:
                log.warning("radius.second_identity_unusable", code=error.code, detail=error.detail)
                self._present = of[0]
        return self._present


class IssuedIdentity:
    """What the worker role has had issued. One that cannot be had leaves the present one in use."""

    def __init__(self, reader: Reader, keys: KeyRelease, clock: Clock, *, rsa: bool = False) -> None:
        """``rsa``: the second one."""
        self._rsa = rsa
        self._reader = IdentityReader(reader)
        self._keys = keys
        self._clock = clock
        self._present: tuple[object, ServerIdentity] | None = None

    async def refresh(self) -> ServerIdentity | None:
        """See :class:`IdentitySource`. Raises StoreError."""
        record = await self._reader.current(self._clock.now(), rsa=self._rsa)
        if record is None:
            self._present = None  # revoked, or expired: showing it helps nobody
            return None
        if self._present is None or self._present[0] != record.certificate_id:
            try:
                private = await self._keys.release_key(record.key_id)
                chain = x509.load_pem_x509_certificates(record.chain.encode())
                identity = identity_of(tuple(one.public_bytes(Encoding.DER) for one in chain), private)
            except (TrothError, ValueError) as error:
                log.warning("radius.identity_unusable", key_id=record.key_id, error=str(error))
                return None if self._present is None else self._present[1]
            self._present = (record.certificate_id, identity)
            log.info("radius.identity_taken", names=identity.names, not_after=identity.not_after.isoformat())
        return self._present[1]


class IdentityInFiles:
    """A certificate and key that people renew: read again when one of the files has changed."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = (certificate, key)
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._present: ServerIdentity | None = None

    async def refresh(self) -> ServerIdentity | None:
        """See :class:`IdentitySource`. Files that do not fit each other, as in the middle of a change, are told in the
        log, and leave the present ones in use."""
        seen = tuple(_mark(path) for path in self._paths)
        if self._present is None or seen != self._seen:
            try:
                self._present = identity_from_files(*self._paths)
                self._seen = seen
                log.info("radius.identity_taken", names=self._present.names)
            except TrothError as error:
                log.warning("radius.identity_unusable", code=error.code, detail=error.detail)
        return self._present


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
