"""What a certified key may be used for: key usages and extended key usages by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from cryptography import x509

from troth.pki.other_names import is_oid

#: Extended key usages by the name that their specification gives them; others are written dotted.
EXTENDED_KEY_USAGES: Mapping[str, str] = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "eapOverPPP": "1.3.6.1.5.5.7.3.13",
    "eapOverLAN": "1.3.6.1.5.5.7.3.14",
    "ipsecIKE": "1.3.6.1.5.5.7.3.17",
    "documentSigning": "1.3.6.1.5.5.7.3.36",
    "pkinitClientAuth": "1.3.6.1.5.2.3.4",
    "pkinitKDC": "1.3.6.1.5.2.3.5",
    "tpmAttestationKey": "2.23.133.8.3",
    "smartcardLogon": "1.3.6.1.4.1.311.20.2.2",
}
#: Good for anything (RFC 5280, 4.2.1.12): no profile may say that.
ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

#: Bit positions of RFC 5280, 4.2.1.3. The last two belong to authorities.
KEY_USAGES: Mapping[str, int] = {
    "digitalSignature": 0,
    "contentCommitment": 1,
    "keyEncipherment": 2,
    "dataEncipherment": 3,
    "keyAgreement": 4,
    "keyCertSign": 5,
    "cRLSign": 6,
}
AUTHORITY_USAGES = frozenset({"keyCertSign", "cRLSign"})


def named_usages(names: Collection[str]) -> x509.KeyUsage:
    """The key usages given by name, as cryptography has them."""
    return x509.KeyUsage(
        digital_signature="digitalSignature" in names,
        content_commitment="contentCommitment" in names,
        key_encipherment="keyEncipherment" in names,
        data_encipherment="dataEncipherment" in names,
        key_agreement="keyAgreement" in names,
        key_cert_sign="keyCertSign" in names,
        crl_sign="cRLSign" in names,
        encipher_only=False,
        decipher_only=False,
    )


@lru_cache(maxsize=256)
def usage_oid(usage: str) -> str:
    """The object identifier of an extended key usage given by name or dotted. Raises ValueError."""
    found = EXTENDED_KEY_USAGES.get(usage, usage)
    if not is_oid(found):
        raise ValueError(f"unknown extended key usage {usage[:80]!r}; known: {', '.join(EXTENDED_KEY_USAGES)}")
    return found


def usage_name(oid: str) -> str:
    """The name of an extended key usage, or its dotted form."""
    return next((name for name, known in EXTENDED_KEY_USAGES.items() if known == oid), oid)
