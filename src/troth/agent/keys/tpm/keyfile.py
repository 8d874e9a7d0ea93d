"""``TSS2 PRIVATE KEY``: a key that a TPM has wrapped, in the file that OpenSSL's provider tpm2 reads.

The ASN.1 is that of draft-woodhouse-cert-best-practice (ASN.1 Specification for TPM 2.0 Key Files)::

    TPMKey ::= SEQUENCE {
        type       OBJECT IDENTIFIER,             -- 2.23.133.10.1.3, a loadable key
        emptyAuth  [0] EXPLICIT BOOLEAN OPTIONAL, -- TRUE: it has no password
        parent     INTEGER,                       -- 0x40000001, the owner's storage root key, or a persistent handle
        pubkey     OCTET STRING,                  -- TPM2B_PUBLIC
        privkey    OCTET STRING }                 -- TPM2B_PRIVATE
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from troth.agent.errors import KEY_STORE, KeyTrouble
from troth.agent.keys.tpm.commands import OWNER
from troth.tpm.errors import TpmMalformed
from troth.tpm.structures import read_public
from troth.tpm.wire import Unmarshal, tpm2b

_LOADABLE = ObjectIdentifier("2.23.133.10.1.3")
_ARMOUR = re.compile(rb"-----BEGIN TSS2 PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END TSS2 PRIVATE KEY-----")
_MOST = 2048


@asn1.sequence
class _Written:
    type: ObjectIdentifier
    empty_auth: Annotated[bool, asn1.Explicit(0)]
    parent: int
    public: bytes
    private: bytes


@asn1.sequence
class _Read:
    type: ObjectIdentifier
    empty_auth: asn1.TLV  # older writers encode TRUE as 1, which is no DER
    parent: int
    public: bytes
    private: bytes


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What such a file holds. ``public`` is a TPMT_PUBLIC, ``private`` the wrapped half, both without their size."""

    public: bytes
    private: bytes
    parent: int = OWNER

    def pem(self) -> bytes:
        """The file."""
        der = asn1.encode_der(
            _Written(
                type=_LOADABLE,
                empty_auth=True,
                parent=self.parent,
                public=tpm2b(self.public),
                private=tpm2b(self.private),
            )
        )
        text = base64.b64encode(der)
        lines = b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
        return b"-----BEGIN TSS2 PRIVATE KEY-----\n" + lines + b"-----END TSS2 PRIVATE KEY-----\n"

    def public_pem(self) -> bytes:
        """SubjectPublicKeyInfo, PEM. Raises KeyTrouble."""
        return subject_public_key_info(self.public)


def read(pem: bytes) -> KeyFile:
    """The key of a file. Raises KeyTrouble."""
    found = _ARMOUR.search(pem)
    try:
        if found is None:
            raise ValueError("there is no TSS2 PRIVATE KEY in it")
        held = asn1.decode_der(_Read, base64.b64decode(found[1]))
        if held.type != _LOADABLE:
            raise ValueError(f"its type is {held.type.dotted_string}")
        return KeyFile(_bare(held.public), _bare(held.private), held.parent)
    except (ValueError, TypeError, TpmMalformed) as error:
        raise KeyTrouble(KEY_STORE, f"the file holds no key of a TPM: {error}") from error


def subject_public_key_info(public: bytes) -> bytes:
    """A TPMT_PUBLIC as others read it: SubjectPublicKeyInfo, PEM. Raises KeyTrouble."""
    try:
        return read_public(public).key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except TpmMalformed as error:
        raise KeyTrouble(KEY_STORE, error.detail) from error


def _bare(sized: bytes) -> bytes:
    r = Unmarshal(sized, "a key's file")
    found = r.sized(_MOST)
    r.end()
    return found
