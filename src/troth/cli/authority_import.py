"""How an authority that exists elsewhere is brought: what the commands read, check and hand over."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeAlias

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from troth.assembly.context import signer_socket
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.kit import config as configuration
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError
from troth.pki.admission import Candidate, admit
from troth.pki.algorithms import PrivateKey, spki_of
from troth.pki.authorities import Authority
from troth.pki.crl_import import check_crl
from troth.pki.issuer_classes import IssuerClasses, issuer_classes
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.pem import pem
from troth.pki.signer.class_rules import bounds_of
from troth.pki.signer.client import SignerClient
from troth.pki.takeover import BATCH, entries_in, read_issued

_PEM = re.compile(rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----", re.DOTALL)
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Held:
    """A key that the signer holds."""

    key_id: str


@dataclass(frozen=True)
class Labelled:
    """A key that a custodian of the signer holds, and the signer does not know yet."""

    custodian: str
    label: str


@dataclass(frozen=True, repr=False)
class InFile:
    """A key in the clear: it goes to the signer, over its socket, and nowhere else."""

    private: PrivateKey


Key: TypeAlias = "Held | Labelled | InFile"


@dataclass(frozen=True)
class Told:
    """What was done or, with ``dry_run``, would be."""

    lines: list[str]
    dry_run: bool


@dataclass(frozen=True)
class Brought:
    """What lies in the files, all of it DER."""

    slug: str
    certificate: bytes
    chain: tuple[bytes, ...]
    crl: bytes | None
    classes: IssuerClasses

    @classmethod
    def read(cls, slug: str, certificate: Path, chain: Path | None, crl: Path | None, classes: IssuerClasses) -> Self:
        """Raises TrothError."""
        own = blocks(certificate, "CERTIFICATE")
        above = () if chain is None else tuple(one for one in blocks(chain, "CERTIFICATE") if one != own[0])
        return cls(slug, own[0], above, None if crl is None else blocks(crl, "X509 CRL")[0], classes)


def blocks(path: Path, label: str) -> list[bytes]:
    """The PEM blocks of a file with that label, decoded, or the file as it is if it holds no PEM. Raises TrothError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise TrothError(UNREADABLE, f"{path} is larger than {_LARGEST >> 20} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise TrothError(UNREADABLE, f"{path}: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        return [content]
    load = x509.load_pem_x509_certificate if label == "CERTIFICATE" else x509.load_pem_x509_crl
    try:
        found = [
            load(match.group()).public_bytes(Encoding.DER)
            for match in _PEM.finditer(content)
            if match["label"].decode() == label
        ]
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrothError(UNREADABLE, f"{path}: a {label} in it cannot be read") from error
    if not found:
        raise TrothError(UNREADABLE, f"{path} holds no {label}")
    return found


def key_of(text: str, passphrase_file: Path | None) -> Key:
    """The key that ``--key`` names. Raises TrothError."""
    if text.startswith("pkcs11:"):
        name, _, label = text.removeprefix("pkcs11:").partition("/")
        if not name or not label:
            raise TrothError(
                UNREADABLE, "a key in a token is pkcs11:NAME/LABEL; NAME is the custodian's in the settings"
            )
        return Labelled(f"pkcs11:{name}", label)
    try:
        if re.fullmatch(r"fd:[0-9]{1,4}", text):
            with os.fdopen(int(text[3:]), "rb", closefd=False) as given:
                content = given.read(1 << 16)
        else:
            content = Path(text).read_bytes()
        passphrase = None if passphrase_file is None else passphrase_file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise TrothError(UNREADABLE, f"--key or --passphrase-file: {error.strerror}") from error
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    try:
        private = load(content, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrothError(UNREADABLE, "the key cannot be read; if it is encrypted, give --passphrase-file") from error
    if not isinstance(private, PrivateKey):
        raise TrothError(UNREADABLE, "the key is of a kind that Troth does not use")
    return InFile(private)


def make_key(out: Path, algorithm: KeyAlgorithm | None, custodian: str | None, data: Path | None) -> KeyMetadata:
    """A fresh key of the signer; its public half goes to ``out``. Raises TrothError."""
    if out.exists():
        raise TrothError(UNREADABLE, f"{out} is there already")
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)
    kind = algorithm or KeyAlgorithm(config.signer.issuing_algorithm)

    async def make() -> KeyMetadata:
        async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
            return await signer.generate_key(KeyPurpose.ISSUING, kind, custodian or config.signer.issuing_custodian)

    made = asyncio.run(make())
    out.write_bytes(pem(made.public_key, "PUBLIC KEY"))
    return made


def fingerprint(content: bytes) -> str:
    """SHA-256 in groups of four, to be read aloud."""
    digest = hashlib.sha256(content).hexdigest()
    return " ".join(digest[at : at + 4] for at in range(0, 64, 4))


def bring(brought: Brought, key: Key, issued: Path | None, data: Path | None, *, dry_run: bool) -> Told:
    """Check what was brought, and unless ``dry_run`` hand it over: key, binding, authority, certificates."""
    api = Api.at(data)
    views = api.get("/authorities")
    known = {one["slug"]: _known(one) for one in views}
    base = next((str(one["crl_url"]).rsplit("/crl/", 1)[0] for one in views if one["crl_url"]), "")
    given = [] if issued is None else _issued(issued)
    spki = _spki_of(key, brought, data)
    lines = _check(brought, known, spki, base, given)
    if dry_run:
        return Told(lines, True)
    bounds = msgspec.structs.replace(bounds_of(brought.classes), crl_url=f"{base}/crl/{brought.slug}.crl")
    held = _signer(data, lambda signer: _bind(signer, key, brought.certificate, bounds))
    if brought.slug not in known:
        api.post("/authorities", _command(brought, held.key_id))
        lines.append(f"Added: {brought.slug}, with {held.key_id} ({held.custodian}).")
    elif known[brought.slug].certificate != brought.certificate:
        raise TrothError(UNREADABLE, f"another authority is named {brought.slug}")
    taken = present = 0
    for at in range(0, len(given), BATCH):
        batch = [b64encode(one).decode() for one in given[at : at + BATCH]]
        done = api.post(f"/authorities/{segment(brought.slug)}/issued", {"certificates": batch})
        taken, present = taken + done["taken"], present + done["present"]
    if given:
        lines.append(f"Recorded {taken} certificates; {present} were here before.")
    return Told(lines, False)


def _check(brought: Brought, known: Mapping[str, Authority], spki: bytes, base: str, given: list[bytes]) -> list[str]:
    candidate = Candidate(brought.slug, brought.certificate, brought.chain, brought.classes, "key")
    # A repeated import finds itself here already: then only what still comes is checked.
    above = {slug: one for slug, one in known.items() if slug != brought.slug}
    added = admit(candidate, above, spki, base, SystemClock().now())
    made = added[-1]
    lines = [f"Also new: {one.kind} {one.name}, SHA-256 {one.sha256.hex()}" for one in added[:-1]]
    lines += [f"Authority: {made.name}, below {made.parent}, until {made.not_after}", f"SHA-256: {made.sha256.hex()}"]
    revoked: set[bytes] = set()
    if brought.crl is not None:
        _, number, until, _ = check_crl(made, brought.crl)
        revoked = {bytes(entry.serial) for entry in entries_in(brought.crl)}
        lines.append(f"CRL: number {number}, {len(revoked)} entries, until {until}")
    if given:
        serials = {bytes(one.serial) for one in read_issued(given, made)}
        lines.append(f"Certificates: {len(serials)}, {len(serials & revoked)} of them in the CRL")
        if revoked - serials:
            lines.append(f"Entries of the CRL without a certificate: {len(revoked - serials)}; they stay revoked")
    return lines


def _known(view: Mapping[str, Any]) -> Authority:
    return Authority(
        slug=view["slug"],
        name=view["name"],
        kind=view["kind"],
        parent=view["parent"],
        certificate=x509.load_pem_x509_certificate(view["pem"].encode()).public_bytes(Encoding.DER),
        key_id=view["key_id"],
        state=view["state"],
        trial=view["trial"],
        ca_issuers_url=view["ca_issuers_url"],
        ocsp_url=view["ocsp_url"],
        crl_url=view["crl_url"],
        created_at=datetime.fromisoformat(view["not_before"]),
        issuer_classes=issuer_classes(view["issuer_classes"]),
    )


def _spki_of(key: Key, brought: Brought, data: Path | None) -> bytes:
    """The public key to hold the certificate against; a token's is compared when the signer has taken it."""
    if isinstance(key, InFile):
        return spki_of(key.private.public_key())
    if isinstance(key, Held):
        held = key.key_id
        return _signer(data, lambda signer: signer.public_key(held)).public_key
    certified = x509.load_der_x509_certificate(brought.certificate).public_key()
    return spki_of(certified)  # type: ignore[arg-type]  # of another kind: refused by what reads the certificate


async def _bind(signer: SignerClient, key: Key, certificate: bytes, bounds: Any) -> KeyMetadata:
    match key:
        case Held(key_id=key_id):
            held = await signer.public_key(key_id)
        case Labelled(custodian=custodian, label=label):
            held = await signer.adopt_key(custodian, label)
        case _:
            private = key.private
            held = await signer.take_key(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    if held.certificate == certificate:
        return held  # by an import that was cut short
    return await signer.attach_authority(held.key_id, certificate, bounds)


def _signer(data: Path | None, act: Any) -> KeyMetadata:
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root)

    async def run() -> KeyMetadata:
        async with SignerClient(signer_socket(config, layout), "setup", layout.secrets) as signer:
            found: KeyMetadata = await act(signer)
            return found

    return asyncio.run(run())


def _command(brought: Brought, key_id: str) -> dict[str, Any]:
    def text(der: bytes | None) -> str:
        return "" if der is None else b64encode(der).decode()

    return {
        "authority": brought.slug,
        "certificate": text(brought.certificate),
        "chain": [text(one) for one in brought.chain],
        "issuer_classes": [one.value for one in brought.classes],
        "key_id": key_id,
        "crl": text(brought.crl),
    }


def _issued(path: Path) -> list[bytes]:
    """The certificates in a file, or in all files of a directory. Raises TrothError."""
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return [one for file in files for one in blocks(file, "CERTIFICATE")]
