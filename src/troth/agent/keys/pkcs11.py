"""Keys in a PKCS#11 token (a smart card, an HSM, SoftHSM): made inside, never to leave.

The agent signs a certificate request a few times a year, so each call opens a session and closes it again: a token
that was pulled and put back needs no care, and nothing stays logged in. A PIN that was refused is not tried again:
three wrong ones lock a token for good.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric

from troth.agent import disk
from troth.agent.errors import KEY_KIND, KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import KeyAccess, KeyType
from troth.client.jose import PrivateKey, PublicKey

_CURVES: dict[str, tuple[bytes, ec.EllipticCurve]] = {
    "p256": (bytes.fromhex("06082a8648ce3d030107"), ec.SECP256R1()),
    "p384": (bytes.fromhex("06052b81040022"), ec.SECP384R1()),
}
_RSA_BITS = {"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096}
#: DigestInfo of SHA-256, the digest to follow (RFC 8017, 9.2).
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")

_PKCS1 = padding.PKCS1v15

#: A library is for one thread at a time, and logging in is for the whole process.
_one_at_a_time = threading.Lock()


class Pkcs11Keys:
    """A token. See :class:`~troth.agent.keys.model.KeyPlace`.

    Args:
        library: path of the vendor's library. token: label of the token in it.
        pin_file: holds the PIN; read for each session.
    """

    def __init__(self, library: str, token: str, pin_file: str) -> None:
        self._library = library
        self._token = token
        self._pin_file = Path(pin_file)
        self._refused = b""

    def create(self, label: str, type: KeyType) -> Pkcs11Key:
        with self.session() as session:
            self._destroy(session, label)
            public, _ = _generate(session, label, type)
            return Pkcs11Key(self, label, self._token, _public_key(public))

    def load(self, label: str) -> Pkcs11Key:
        pkcs11 = _api()
        with self.session() as session:
            if not _found(session, label, pkcs11.ObjectClass.PRIVATE_KEY):
                raise KeyTrouble(KEY_MISSING, f"the token {self._token!r} holds no key {label!r}")
            public = _found(session, label, pkcs11.ObjectClass.PUBLIC_KEY)
            if not public:
                raise KeyTrouble(KEY_MISSING, f"the token {self._token!r} holds no public key {label!r}")
            return Pkcs11Key(self, label, self._token, _public_key(public[0]))

    def remove(self, label: str) -> None:
        with self.session() as session:
            self._destroy(session, label)

    def attach(self, label: str, certificate: bytes) -> None:
        """Put the DER ``certificate`` beside its key; what was there before is taken away after."""
        pkcs11 = _api()
        attribute = pkcs11.Attribute
        with self.session() as session:
            before = _found(session, label, pkcs11.ObjectClass.CERTIFICATE)
            if any(bytes(one[attribute.VALUE]) == certificate for one in before):
                return
            subject, issuer, serial = _names(certificate)
            session.create_object(
                {
                    attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
                    attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                    attribute.TOKEN: True,
                    attribute.LABEL: label,
                    attribute.ID: _object_id(label),
                    attribute.SUBJECT: subject,
                    attribute.ISSUER: issuer,
                    attribute.SERIAL_NUMBER: serial,
                    attribute.VALUE: certificate,
                }
            )
            for one in before:
                one.destroy()

    def signature(self, label: str, content: bytes, *, ecdsa: bool) -> bytes:
        """What the key says to ``content``: a digest for ECDSA, a DigestInfo for RSA; r ‖ s for ECDSA."""
        pkcs11 = _api()
        with self.session() as session:
            found = _found(session, label, pkcs11.ObjectClass.PRIVATE_KEY)
            if not found:
                raise KeyTrouble(KEY_MISSING, f"the token {self._token!r} holds no key {label!r}")
            mechanism = pkcs11.Mechanism.ECDSA if ecdsa else pkcs11.Mechanism.RSA_PKCS
            return bytes(found[0].sign(content, mechanism=mechanism))

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session that is logged in. Raises KeyTrouble for whatever the token says inside."""
        pkcs11 = _api()
        with _one_at_a_time:
            try:
                session = self._open(pkcs11)
                try:
                    yield session
                finally:
                    session.close()
            except (pkcs11.PKCS11Error, RuntimeError) as error:
                said = str(error) or type(error).__name__
                raise KeyTrouble(KEY_STORE, f"the token {self._token!r} in {self._library}: {said}") from error

    def _open(self, pkcs11: Any) -> Any:
        if not Path(self._library).is_file():
            raise KeyTrouble(KEY_STORE, f"there is no PKCS#11 library {self._library}")
        pin = (disk.read(self._pin_file) or b"").strip()
        if not pin:
            raise KeyTrouble(KEY_STORE, f"{self._pin_file} holds no PIN")
        if pin == self._refused:
            raise KeyTrouble(KEY_STORE, f"the token {self._token!r} refused the PIN in {self._pin_file} before")
        # By its one real name: under another, the library would be started a second time in this process, and refuses.
        library = pkcs11.lib(str(Path(self._library).resolve()))
        token = _token(pkcs11, library, self._token)
        try:
            return token.open(rw=True, user_pin=pin.decode("utf-8", "replace"))
        except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid) as error:
            self._refused = pin
            raise KeyTrouble(KEY_STORE, f"the token {self._token!r} refuses the PIN in {self._pin_file}") from error

    def _destroy(self, session: Any, label: str) -> None:
        pkcs11 = _api()
        kinds = (pkcs11.ObjectClass.CERTIFICATE, pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.ObjectClass.PRIVATE_KEY)
        for kind in kinds:
            for one in _found(session, label, kind):
                one.destroy()


class Pkcs11Key:
    """A key in a token."""

    def __init__(self, place: Pkcs11Keys, label: str, token: str, public: PublicKey) -> None:
        self._place = place
        self._token = token
        self.label = label
        self.public_key = public

    def private_key(self) -> PrivateKey:
        if isinstance(self.public_key, ec.EllipticCurvePublicKey):
            return _EcKey(self._place, self.label, self.public_key)
        if isinstance(self.public_key, rsa.RSAPublicKey):
            return _RsaKey(self._place, self.label, self.public_key)
        raise KeyTrouble(KEY_KIND, "a token's key is on P-256 or P-384, or RSA")

    def access(self) -> KeyAccess:
        parts = (("token", self._token), ("object", self.label), ("type", "private"))
        uri = "pkcs11:" + ";".join(f"{name}={quote(value, safe='')}" for name, value in parts)
        return KeyAccess(provider_pem(uri), uri=uri)


class _EcKey(ec.EllipticCurvePrivateKey):
    """What ``cryptography``'s builders take for a key."""

    def __init__(self, place: Pkcs11Keys, label: str, public: ec.EllipticCurvePublicKey) -> None:
        self._place, self._label, self._public = place, label, public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, asymmetric.Prehashed):
            digest = bytes(data)
        else:
            digest = hashlib.new(algorithm.name, bytes(data)).digest()
        raw = self._place.signature(self._label, digest, ecdsa=True)
        half = len(raw) // 2
        return asymmetric.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise KeyTrouble(KEY_KIND, "this key only signs")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise KeyTrouble(KEY_KIND, "this key stays in its token")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        raise KeyTrouble(KEY_KIND, "this key stays in its token")

    def __copy__(self) -> _EcKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> _EcKey:
        return self


class _RsaKey(rsa.RSAPrivateKey):
    """What ``cryptography``'s builders take for a key: PKCS#1 v1.5 with SHA-256, which is all a request needs."""

    def __init__(self, place: Pkcs11Keys, label: str, public: rsa.RSAPublicKey) -> None:
        self._place, self._label, self._public = place, label, public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        if not isinstance(padding, _PKCS1) or not isinstance(algorithm, hashes.SHA256):
            raise KeyTrouble(KEY_KIND, "this key signs with PKCS#1 v1.5 and SHA-256")
        content = _SHA256_INFO + hashlib.sha256(bytes(data)).digest()
        return self._place.signature(self._label, content, ecdsa=False)

    def decrypt(self, ciphertext: Any, padding: Any) -> bytes:
        raise KeyTrouble(KEY_KIND, "this key only signs")

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        raise KeyTrouble(KEY_KIND, "this key stays in its token")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:
        raise KeyTrouble(KEY_KIND, "this key stays in its token")

    def __copy__(self) -> _RsaKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> _RsaKey:
        return self


def provider_pem(uri: str) -> bytes:
    """The PEM in which OpenSSL's pkcs11-provider finds a key: SEQUENCE { VisibleString, UTF8String uri }."""
    described = _tlv(0x1A, b"PKCS#11 Provider URI v1.0") + _tlv(0x0C, uri.encode())
    return _pem("PKCS#11 PROVIDER URI", _tlv(0x30, described))


def _api() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise KeyTrouble(KEY_STORE, "python-pkcs11 is not installed: pip install 'troth[hsm]'") from error
    return pkcs11


def _token(pkcs11: Any, library: Any, label: str) -> Any:
    try:
        return library.get_token(token_label=label)
    except (pkcs11.PKCS11Error, RuntimeError):
        # A token that came after the library was loaded is seen after C_Finalize and C_Initialize.
        library.reinitialize()
        return library.get_token(token_label=label)


def _object_id(label: str) -> bytes:
    """CKA_ID: told by the label, so that all objects of a key carry the same."""
    return hashlib.sha256(label.encode()).digest()[:16]


def _found(session: Any, label: str, kind: Any) -> list[Any]:
    attribute = _api().Attribute
    return list(session.get_objects({attribute.CLASS: kind, attribute.LABEL: label, attribute.ID: _object_id(label)}))


def _generate(session: Any, label: str, type: KeyType) -> tuple[Any, Any]:
    pkcs11 = _api()
    attribute = pkcs11.Attribute
    private = {
        attribute.SENSITIVE: True, attribute.EXTRACTABLE: False, attribute.PRIVATE: True, attribute.SIGN: True,
        attribute.DERIVE: False, attribute.DECRYPT: False, attribute.UNWRAP: False,
    }  # fmt: skip
    named: dict[str, Any] = {
        "id": _object_id(label), "label": label, "store": True, "private_template": private,
        "capabilities": pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
    }  # fmt: skip
    if type in _RSA_BITS:
        public, made = session.generate_keypair(pkcs11.KeyType.RSA, _RSA_BITS[type], **named)
        return public, made
    parameters = {attribute.EC_PARAMS: _CURVES[type][0]}
    domain = session.create_domain_parameters(pkcs11.KeyType.EC, parameters, local=True)
    public, made = domain.generate_keypair(**named)
    return public, made


def _public_key(public: Any) -> PublicKey:
    pkcs11 = _api()
    attribute = pkcs11.Attribute
    try:
        if public.key_type is pkcs11.KeyType.RSA:
            exponent, modulus = public[attribute.PUBLIC_EXPONENT], public[attribute.MODULUS]
            return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
        point, named = bytes(public[attribute.EC_POINT]), bytes(public[attribute.EC_PARAMS])
        curve = next(curve for oid, curve in _CURVES.values() if oid == named)
        size = 1 + 2 * ((curve.key_size + 7) // 8)  # CKA_EC_POINT is an OCTET STRING around the point
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point[-size:])
    except (ValueError, StopIteration) as error:
        raise KeyTrouble(KEY_STORE, "the token shows a public key that cannot be read") from error


def _names(certificate: bytes) -> tuple[bytes, bytes, bytes]:
    """Subject and issuer, DER, and the serial number as a DER INTEGER, as a token wants them."""
    loaded = x509.load_der_x509_certificate(certificate)
    serial = loaded.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return loaded.subject.public_bytes(), loaded.issuer.public_bytes(), _tlv(0x02, octets)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((0x81, size)) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    return bytes((tag,)) + length + content


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[place : place + 64] for place in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode("ascii")
