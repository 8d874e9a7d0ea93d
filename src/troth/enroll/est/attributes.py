"""What a client should put into its request (RFC 7030, 4.5, as RFC 9908, 3 clarifies it): the key, and the link.

Names are not told: an answer that names somebody would have to know who asks, and a profile that makes names of facts
takes none from a request.
"""

from __future__ import annotations

from collections.abc import Mapping

from troth.pki import der
from troth.pki.profile import Profile

_CHALLENGE_PASSWORD = der.oid("1.2.840.113549.1.9.7")
_EC, _RSA = der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.113549.1.1.1")
#: Kind of key → (attribute that asks for it or its identifier alone, the digest that goes with it).
_KEYS: Mapping[str, bytes] = {
    "p256": der.sequence(_EC, der.set_of_one(der.oid("1.2.840.10045.3.1.7"))),
    "p384": der.sequence(_EC, der.set_of_one(der.oid("1.3.132.0.34"))),
    "p521": der.sequence(_EC, der.set_of_one(der.oid("1.3.132.0.35"))),
    "rsa2048": der.sequence(_RSA, der.set_of_one(der.integer(2048))),
    "rsa3072": der.sequence(_RSA, der.set_of_one(der.integer(3072))),
    "rsa4096": der.sequence(_RSA, der.set_of_one(der.integer(4096))),
    "ed25519": der.oid("1.3.101.112"),
    "mldsa44": der.oid("2.16.840.1.101.3.4.3.17"),
    "mldsa65": der.oid("2.16.840.1.101.3.4.3.18"),
    "mldsa87": der.oid("2.16.840.1.101.3.4.3.19"),
}
#: ecdsa-with-SHA256, -SHA384, -SHA512, sha256WithRSAEncryption.
_SIGNATURES: Mapping[str, bytes] = {
    "p256": der.oid("1.2.840.10045.4.3.2"),
    "p384": der.oid("1.2.840.10045.4.3.3"),
    "p521": der.oid("1.2.840.10045.4.3.4"),
    **dict.fromkeys(("rsa2048", "rsa3072", "rsa4096"), der.oid("1.2.840.113549.1.1.11")),
}


def csr_attributes(profile: Profile, channel_binding: str) -> bytes:
    """DER CsrAttrs for a label: its profile's first kind of key, and whether the request must be bound to TLS.

    Another kind of key that the profile takes is as good; a client that cannot choose needs one answer.
    """
    first = profile.keys[0]
    found = [_CHALLENGE_PASSWORD] if channel_binding == "require" else []
    found.append(_KEYS[first])
    if first in _SIGNATURES:
        found.append(_SIGNATURES[first])
    return der.sequence(*found)
