"""The public areas that keys are made from: TPMT_PUBLIC (TPM 2.0 Library, Part 2, 12.2.4).

Endorsement keys have the templates of the TCG EK Credential Profile (2.5, B.3 and B.4): only the same template gives
the key that the maker certified.
"""

from __future__ import annotations

from dataclasses import dataclass

from troth.agent.keys.model import KeyType
from troth.tpm.numbers import Algorithm, Attributes
from troth.tpm.wire import tpm2b

_A = Attributes
_FIXED = _A.FIXED_TPM | _A.FIXED_PARENT | _A.SENSITIVE_DATA_ORIGIN
_STORAGE = _FIXED | _A.USER_WITH_AUTH | _A.NO_DA | _A.RESTRICTED | _A.DECRYPT
_SIGNING = _FIXED | _A.USER_WITH_AUTH | _A.NO_DA | _A.SIGN
_ATTESTATION = _FIXED | _A.USER_WITH_AUTH | _A.RESTRICTED | _A.SIGN
_LOW = _FIXED | _A.ADMIN_WITH_POLICY | _A.RESTRICTED | _A.DECRYPT
_HIGH = _LOW | _A.USER_WITH_AUTH

_NULL = Algorithm.NULL.to_bytes(2)
#: TPM_ECC_CURVE (Part 2, 6.4).
_P256, _P384 = 3, 4
#: PolicySecret(endorsement), PolicyA and PolicyB of the profile (B.2, B.6).
_POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
_POLICY_B256 = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")
_POLICY_B384 = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)


def _aes(bits: int) -> bytes:
    return Algorithm.AES.to_bytes(2) + bits.to_bytes(2) + Algorithm.CFB.to_bytes(2)


def _rsa(bits: int, symmetric: bytes = _NULL) -> bytes:
    return symmetric + _NULL + bits.to_bytes(2) + bytes(4)


def _ecc(curve: int, symmetric: bytes = _NULL, scheme: bytes = _NULL) -> bytes:
    return symmetric + scheme + curve.to_bytes(2) + _NULL


def _public(
    kind: Algorithm,
    parameters: bytes,
    attributes: Attributes,
    *,
    hashed: Algorithm = Algorithm.SHA256,
    policy: bytes = b"",
    unique: bytes = b"",
) -> bytes:
    """TPMT_PUBLIC. ``unique``: what stands for the key before there is one, empty numbers unless given."""
    unique = unique or (bytes(2) if kind is Algorithm.RSA else bytes(4))
    head = kind.to_bytes(2) + hashed.to_bytes(2) + attributes.to_bytes(4)
    return head + tpm2b(policy) + parameters + unique


#: The storage root key that tpm2-openssl derives, too, when a key's file names the owner hierarchy as its parent.
STORAGE = _public(Algorithm.ECC, _ecc(_P256, _aes(128)), _STORAGE)
#: A restricted key, which signs only what the TPM itself made.
ATTESTATION = _public(
    Algorithm.ECC,
    _ecc(_P256, scheme=Algorithm.ECDSA.to_bytes(2) + Algorithm.SHA256.to_bytes(2)),
    _ATTESTATION,
)
#: Keys for signatures, each hash and scheme to be chosen at every use.
KEYS: dict[KeyType, bytes] = {
    "p256": _public(Algorithm.ECC, _ecc(_P256), _SIGNING),
    "p384": _public(Algorithm.ECC, _ecc(_P384), _SIGNING),
    "rsa2048": _public(Algorithm.RSA, _rsa(2048), _SIGNING),
    "rsa3072": _public(Algorithm.RSA, _rsa(3072), _SIGNING),
    "rsa4096": _public(Algorithm.RSA, _rsa(4096), _SIGNING),
}


@dataclass(frozen=True, slots=True)
class EndorsementTemplate:
    """One of the profile's templates.

    Attributes:
        certificate: NV index of the maker's certificate; template: of the maker's own template, nonce: of what goes
            into its ``unique`` (low range only; 0 for none).
        size: octets of each number of ``unique``.
    """

    public: bytes
    certificate: int
    template: int
    nonce: int = 0
    size: int = 0

    @property
    def low(self) -> bool:
        """Whether the TPM has the key even where it holds no certificate of it."""
        return self.nonce != 0

    def with_nonce(self, public: bytes, nonce: bytes) -> bytes:
        """``public`` with the maker's nonce as its first number, filled up with zeros (2.2.1.4)."""
        zeros, kind = bytes(self.size), int.from_bytes(public[:2])
        numbers = tpm2b(zeros) if kind == Algorithm.RSA else tpm2b(zeros) * 2
        if not public.endswith(numbers) or len(nonce) > self.size:
            return public
        filled = tpm2b(nonce.ljust(self.size, b"\0"))
        return public[: -len(numbers)] + filled + numbers[len(filled) :]


def _low(kind: Algorithm, parameters: bytes, unique: bytes) -> bytes:
    return _public(kind, parameters, _LOW, policy=_POLICY_A, unique=unique)


def _high(kind: Algorithm, parameters: bytes, hashed: Algorithm, policy: bytes) -> bytes:
    return _public(kind, parameters, _HIGH, hashed=hashed, policy=policy)


_SHA256, _SHA384 = (Algorithm.SHA256, _POLICY_B256), (Algorithm.SHA384, _POLICY_B384)
#: Looked for in this order: every PC has the first, and the attestation CAs of others know no third.
ENDORSEMENTS: dict[str, EndorsementTemplate] = {
    "EK-RSA2048": EndorsementTemplate(
        _low(Algorithm.RSA, _rsa(2048, _aes(128)), tpm2b(bytes(256))), 0x01C00002, 0x01C00004, 0x01C00003, 256
    ),
    "EK-ECC256": EndorsementTemplate(
        _low(Algorithm.ECC, _ecc(_P256, _aes(128)), tpm2b(bytes(32)) * 2), 0x01C0000A, 0x01C0000C, 0x01C0000B, 32
    ),
    "EK-HIGH-RSA2048": EndorsementTemplate(
        _high(Algorithm.RSA, _rsa(2048, _aes(128)), *_SHA256), 0x01C00012, 0x01C00013
    ),
    "EK-HIGH-ECC256": EndorsementTemplate(
        _high(Algorithm.ECC, _ecc(_P256, _aes(128)), *_SHA256), 0x01C00014, 0x01C00015
    ),
    "EK-HIGH-ECC384": EndorsementTemplate(
        _high(Algorithm.ECC, _ecc(_P384, _aes(256)), *_SHA384), 0x01C00016, 0x01C00017
    ),
    "EK-HIGH-RSA3072": EndorsementTemplate(
        _high(Algorithm.RSA, _rsa(3072, _aes(256)), *_SHA384), 0x01C0001C, 0x01C0001D
    ),
}  # fmt: skip
