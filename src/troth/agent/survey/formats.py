"""Certificates in a file, whatever its format: PEM, DER, PKCS#12 without a password, Java keystores."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from troth.agent.survey import keystores

_BLOCK = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s[^-]{1,100000}-----END (?:X509 |TRUSTED )?CERTIFICATE-----"
)
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
#: A file with more is a bundle of roots, not a server's certificate.
MANY = 20
#: What keystores of roots are locked with everywhere (the JDK's own word for cacerts); no secret.
_PUBLIC_PASSWORDS: tuple[bytes | None, ...] = (None, b"", b"changeit")


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate in a file.

    Attributes:
        name: the alias in a keystore; empty elsewhere.
        key: its private key is in the same file.
        keystore: it lies in a keystore.
    """

    der: bytes
    name: str = ""
    key: bool = False
    keystore: bool = False


class Unreadable(ValueError):
    """Why nothing could be read, as a clause."""


def read(data: bytes) -> Sequence[Held]:
    """The certificates in ``data``. Raises Unreadable for a keystore that is locked or broken."""
    if data[:4] in keystores.MAGIC:
        try:
            return [
                Held(one.certificate, one.alias, one.key, True)
                for one in keystores.read(data)
                if is_certificate(one.certificate)
            ]
        except keystores.BadKeystore as error:
            raise Unreadable(f"a Java keystore that cannot be read: {error}") from error
    if b"-----BEGIN " in data:
        return _pem(data)
    if data[:1] != b"\x30":
        return ()
    return (Held(data),) if is_certificate(data) else _pkcs12(data)


def is_certificate(der: bytes) -> bool:
    """Whether ``der`` is a certificate that can be read."""
    try:
        with _old_roots():
            x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion):
        return False
    return True


@contextmanager
def _old_roots() -> Iterator[None]:
    """Without a warning for what old roots did not keep to (serial numbers below 1): they are told of, not believed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _pem(data: bytes) -> Sequence[Held]:
    found = []
    for block in _BLOCK.findall(data):
        plain = block.replace(b"X509 CERTIFICATE", b"CERTIFICATE").replace(b"TRUSTED CERTIFICATE", b"CERTIFICATE")
        try:
            with _old_roots():
                found.append(x509.load_pem_x509_certificate(plain).public_bytes(Encoding.DER))
        except (ValueError, TypeError, x509.InvalidVersion):
            continue  # one broken block does not hide the others
    key = _KEY.search(data) is not None
    return [Held(der, key=key and index == 0) for index, der in enumerate(found)]


def _pkcs12(data: bytes) -> Sequence[Held]:
    for password in _PUBLIC_PASSWORDS:
        try:
            with _old_roots():
                store = pkcs12.load_pkcs12(data, password)
        except ValueError:
            continue
        except (TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise Unreadable("a PKCS#12 file of a kind that cannot be read") from error
        held = []
        if store.cert is not None:
            der = store.cert.certificate.public_bytes(Encoding.DER)
            held.append(Held(der, _name(store.cert.friendly_name), store.key is not None, True))
        others = [(one.certificate.public_bytes(Encoding.DER), one.friendly_name) for one in store.additional_certs]
        return [*held, *(Held(der, _name(name), False, True) for der, name in others)]
    if _looks_like_pkcs12(data):
        raise Unreadable("a PKCS#12 file with a password")
    return ()


def _looks_like_pkcs12(data: bytes) -> bool:
    """A PFX begins with version 3 and pkcs7-data (RFC 7292, section 4)."""
    return b"\x02\x01\x03\x30" in data[:8] and b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" in data[:32]


def _name(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")[:200]
