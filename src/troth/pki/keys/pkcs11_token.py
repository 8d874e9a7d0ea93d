"""Keys in a PKCS#11 token: an HSM, a smart card, or SoftHSM where one is learnt on.

A key is made inside the token with SENSITIVE, not EXTRACTABLE, PRIVATE, not MODIFIABLE, for signing and nothing else;
the attributes are read back, with ALWAYS_SENSITIVE, NEVER_EXTRACTABLE and LOCAL, which only the token can set, and
are kept as evidence. A token that does not keep them gets no key of ours.

ECDSA is asked for over a digest made here (CKM_ECDSA): every token has that mechanism, and a CRL of megabytes need
not pass through it. RSA is CKM_RSA_PKCS over a DigestInfo for the same reason. Ed25519 takes the whole message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from troth.pki import der
from troth.pki.algorithms import spki_of
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.backend import Made
from troth.pki.keys.errors import (
    CUSTODIAN_ANSWER,
    CUSTODIAN_UNAVAILABLE,
    KEY_EVIDENCE,
    KEY_GONE,
    CustodianDown,
    KeyUnavailable,
)
from troth.pki.keys.pins import PinSource
from troth.pki.keys.pkcs11_library import Library, Login, api, name_of

if TYPE_CHECKING:
    from pkcs11 import Session

_T = TypeVar("_T")

_CURVES: Mapping[KeyAlgorithm, tuple[str, ec.EllipticCurve]] = {
    KeyAlgorithm.P256: ("1.2.840.10045.3.1.7", ec.SECP256R1()),
    KeyAlgorithm.P384: ("1.3.132.0.34", ec.SECP384R1()),
}
_RSA_SIZES = {KeyAlgorithm.RSA3072: 3072, KeyAlgorithm.RSA4096: 4096}
#: PrintableString "edwards25519" (PKCS#11 3.0, 2.3.10); the OID is allowed there, too, but fewer tokens take it.
_ED25519_PARAMETERS = der.tlv(0x13, b"edwards25519")
_SHA256_INFO = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL_VALUE)

#: What a private key must be, by name of the attribute; the last three only the token can set.
PROMISED: Mapping[str, bool] = {
    "SENSITIVE": True,
    "EXTRACTABLE": False,
    "PRIVATE": True,
    "MODIFIABLE": False,
    "DERIVE": False,
    "ALWAYS_SENSITIVE": True,
    "NEVER_EXTRACTABLE": True,
    "LOCAL": True,
}


class Pkcs11Token:
    """The backend over one token.

    Args:
        library: path of the vendor's PKCS#11 library.
        token_label: which token in it.
        pin: where its PIN comes from.
        timeout: seconds that a signature takes at most; making a key takes up to ten times that.
    """

    algorithms = frozenset(
        {KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.RSA3072, KeyAlgorithm.RSA4096, KeyAlgorithm.ED25519}
    )

    #: Every kind but Ed25519 signs a digest.
    longest = 0

    def __init__(self, library: str, token_label: str, pin: PinSource, *, timeout: float = 5.0) -> None:
        self._library = Library.at(library)
        self._pin = pin
        self._login = Login(self._library, token_label, pin)
        self._timeout = timeout
        # What python-pkcs11 gives for a private key; which of its mixins it has depends on the token's answer.
        self._keys: dict[str, Any] = {}

    @property
    def sealed(self) -> bool:
        """Whether its PIN must be unsealed first."""
        return self._pin.sealed

    def unseal(self, secret: bytes) -> None:
        """Take the PIN and log in with it. Raises CustodianDown; a refused PIN is forgotten."""
        self._pin.unseal(secret)
        self._call(self._login.session)

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        """Make a key pair in the token, both halves labelled ``key_id``. Raises KeyUnavailable."""
        return self._call(lambda: self._generate(key_id, algorithm), patience=10)

    def find(self, label: str) -> Made:
        """A key pair that is in the token already. Raises KeyUnavailable."""
        return self._call(lambda: self._find(label))

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        """The public half as the token shows it, if the private half is there, too. Raises KeyUnavailable."""
        return self._call(lambda: self._public_key(handle))

    def evidence(self, handle: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """What the token says of a key now, read again: (attribute, value). Raises KeyUnavailable."""
        return self._call(lambda: self._using(handle, _told) + self._login.about())

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        """The signature over what ``content`` is the digest of (Ed25519: over ``content``). Raises KeyUnavailable."""
        return self._call(lambda: self._using(handle, lambda key: _sign(key, algorithm, content)))

    def close(self) -> None:
        """End the session."""

        def end() -> None:
            self._keys.clear()
            self._login.drop()

        try:
            self._call(end)
        except CustodianDown:
            return  # it hangs; the session ends with the process

    def _call(self, act: Callable[[], _T], *, patience: int = 1) -> _T:
        return self._library.lane.call(act, self._timeout * patience)

    def _generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        pkcs11 = api()
        try:
            session = self._login.writing()
        except CustodianDown:
            self._forget()
            session = self._login.writing()
        try:
            public, private = _generate_pair(session, key_id, algorithm)
            evidence = _evidence(private)
            wanting = sorted(name for name, value in PROMISED.items() if evidence.get(name) is not value)
            if wanting:
                public.destroy()
                private.destroy()
                raise KeyUnavailable(KEY_EVIDENCE, f"not as asked for: {', '.join(wanting)}")
            handle = {"label": key_id, "id": _object_id(key_id).hex()}
            return Made(handle, _spki(public), _told(private) + self._login.about())
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            self._forget()
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"the token made no key: {name_of(error)}") from error
        finally:
            try:
                session.close()
            except (pkcs11.PKCS11Error, RuntimeError):
                self._forget()

    def _find(self, label: str) -> Made:
        pkcs11 = api()
        try:
            session = self._login.session()
            private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=label)
            held = bytes(private[pkcs11.Attribute.ID])
            public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, id=held)
            return Made({"label": label, "id": held.hex()}, _spki(public), _told(private) + self._login.about())
        except pkcs11.MultipleObjectsReturned:
            raise KeyUnavailable(CUSTODIAN_ANSWER, f"the token has several keys {label[:80]!r}") from None
        except pkcs11.NoSuchKey:
            raise KeyUnavailable(KEY_GONE, f"no key {label[:80]!r} in the token, or no public key beside it") from None
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            self._forget()
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"the token fails: {name_of(error)}") from error

    def _public_key(self, handle: Mapping[str, str]) -> bytes:
        def look(_key: object) -> bytes:
            pkcs11 = api()
            found = self._login.session().get_key(
                object_class=pkcs11.ObjectClass.PUBLIC_KEY, id=bytes.fromhex(handle["id"])
            )
            return _spki(found)

        self._keys.pop(handle["id"], None)
        return self._using(handle, look)

    def _using(self, handle: Mapping[str, str], act: Callable[[Any], _T]) -> _T:
        """``act`` on the private key; once more on a fresh session if the first had gone stale.

        The second try is safe: an error of the token means that it gave no signature.
        """
        pkcs11 = api()
        try:
            return act(self._private(handle))
        except (pkcs11.PKCS11Error, RuntimeError):
            self._forget()
        try:
            return act(self._private(handle))
        except pkcs11.NoSuchKey:
            if self._login.fresh:
                raise KeyUnavailable(KEY_GONE, f"no key {handle['label']} in the token") from None
        except (pkcs11.PKCS11Error, RuntimeError):
            self._forget()
        # A library may go on with a token that was pulled, and find it empty: only a restart tells.
        try:
            self._keys.clear()
            self._login.restart()
            return act(self._private(handle))
        except pkcs11.NoSuchKey:
            raise KeyUnavailable(KEY_GONE, f"no key {handle['label']} in the token") from None
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            self._forget()
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"the token fails: {name_of(error)}") from error

    def _private(self, handle: Mapping[str, str]) -> Any:
        found = self._keys.get(handle["id"])
        if found is None:
            pkcs11 = api()
            found = self._login.session().get_key(
                object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=bytes.fromhex(handle["id"])
            )
            self._keys[handle["id"]] = found
        return found

    def _forget(self) -> None:
        self._keys.clear()
        self._login.drop()


def _object_id(key_id: str) -> bytes:
    """CKA_ID: the 16 octets of the key's UUID."""
    return UUID(key_id.split("-", 1)[1]).bytes


def _generate_pair(session: Session, key_id: str, algorithm: KeyAlgorithm) -> tuple[Any, Any]:
    pkcs11 = api()
    attribute = pkcs11.Attribute
    private = {
        attribute.SENSITIVE: True,
        attribute.EXTRACTABLE: False,
        attribute.PRIVATE: True,
        attribute.MODIFIABLE: False,
        attribute.SIGN: True,
        attribute.DERIVE: False,
        attribute.DECRYPT: False,
        attribute.UNWRAP: False,
        attribute.SIGN_RECOVER: False,
    }
    public = {attribute.MODIFIABLE: False, attribute.ENCRYPT: False, attribute.WRAP: False, attribute.DERIVE: False}
    named: dict[str, Any] = {
        "id": _object_id(key_id), "label": key_id, "store": True, "private_template": private,
        "public_template": public, "capabilities": pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
    }  # fmt: skip
    if algorithm in _RSA_SIZES:
        return session.generate_keypair(pkcs11.KeyType.RSA, _RSA_SIZES[algorithm], **named)
    if algorithm in _CURVES:
        kind, parameters, mechanism = pkcs11.KeyType.EC, der.oid(_CURVES[algorithm][0]), None
    else:
        kind, parameters = pkcs11.KeyType.EC_EDWARDS, _ED25519_PARAMETERS
        mechanism = pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN
    domain = session.create_domain_parameters(kind, {attribute.EC_PARAMS: parameters}, local=True)
    return domain.generate_keypair(mechanism=mechanism, **named)


def _evidence(private: Any) -> dict[str, bool | None]:
    pkcs11 = api()
    found: dict[str, bool | None] = {}
    for name in PROMISED:
        try:
            found[name] = bool(private[getattr(pkcs11.Attribute, name)])
        except pkcs11.PKCS11Error:
            found[name] = None
    return found


def _told(private: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value).lower()) for name, value in _evidence(private).items())


def _spki(public: Any) -> bytes:
    """The token's public key as SubjectPublicKeyInfo. Raises KeyUnavailable for what is none."""
    pkcs11 = api()
    attribute = pkcs11.Attribute
    try:
        if public.key_type is pkcs11.KeyType.RSA:
            numbers = rsa.RSAPublicNumbers(
                int.from_bytes(public[attribute.PUBLIC_EXPONENT], "big"),
                int.from_bytes(public[attribute.MODULUS], "big"),
            )
            return spki_of(numbers.public_key())
        reader = der.Reader(bytes(public[attribute.EC_POINT]))
        point = reader.read(der.OCTET_STRING)
        if public.key_type is pkcs11.KeyType.EC_EDWARDS:
            return spki_of(ed25519.Ed25519PublicKey.from_public_bytes(point))
        named = bytes(public[attribute.EC_PARAMS])
        curve = next(curve for oid, curve in _CURVES.values() if der.oid(oid) == named)
        return spki_of(ec.EllipticCurvePublicKey.from_encoded_point(curve, point))
    except (ValueError, StopIteration) as error:
        raise KeyUnavailable(CUSTODIAN_ANSWER, "the token shows a public key that cannot be read") from error


def _sign(key: Any, algorithm: KeyAlgorithm, content: bytes) -> bytes:
    mechanism = api().Mechanism
    if algorithm in _CURVES:
        raw = bytes(key.sign(content, mechanism=mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
    if algorithm in _RSA_SIZES:
        info = der.sequence(_SHA256_INFO, der.octets(content))
        return bytes(key.sign(info, mechanism=mechanism.RSA_PKCS))
    return bytes(key.sign(content, mechanism=mechanism.EDDSA))
