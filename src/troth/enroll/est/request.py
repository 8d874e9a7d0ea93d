"""What a PKCS#10 request says to EST beyond the key whose possession it proves.

Subject and names are wishes: what is certified comes from the profile and from whoever vouches. They are read for two
reasons. Names are held against what was vouched for, and a re-enrolment must ask for what the certificate has.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import AttributeOID, NameOID

from troth.enroll.est.body import decoded
from troth.enroll.est.errors import (
    BINDING_MISSING,
    BINDING_UNSUPPORTED,
    BINDING_WRONG,
    REQUEST_MALFORMED,
    EstRefused,
)
from troth.kit.canonical import Json, canonical_json
from troth.pki.csr import SigningRequest, load_csr, parse_csr
from troth.pki.errors import NameRefused
from troth.pki.names import GeneralNames, canonical_name, canonical_names, names_of

#: (object identifier, value) of each attribute, RDN by RDN.
Wish = tuple[tuple[tuple[str, str], ...], ...]
#: DecryptKeyIdentifier and AsymmetricDecryptKeyIdentifier (RFC 7030, 4.4.1.1 and 4.4.1.2).
_DECRYPT_KEYS = ("1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54")
#: changeSubjectName (RFC 6402, 2.8), by which a renewal could ask for other names (RFC 7030, 4.2.2).
_CHANGE_NAME = "1.3.6.1.5.5.7.7.36"
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A request whose signature holds.

    Attributes:
        der: as it came.
        key: what was proved, and the names asked for in the extension.
        subject: the distinguished name, attribute by attribute.
        names: all names asked for: those of the extension, and a common name where it stands alone and is one.
        challenge: the challengePassword, where there is one.
        wants_wrapping: a key that the server makes should be encrypted under another one.
        wants_new_name: a renewal should change the subject.
    """

    der: bytes
    key: SigningRequest
    subject: Wish
    names: GeneralNames
    challenge: str | None
    wants_wrapping: bool
    wants_new_name: bool

    @property
    def asked(self) -> bytes:
        """SHA-256 of subject and names."""
        return digest_of(self.subject, self.key.names)


def read_request(body: bytes) -> EnrolRequest:
    """The request in a body. Raises EstRefused, CsrRefused, KeyRefused, NameRefused."""
    data = decoded(body)
    proved = parse_csr(data)
    csr = load_csr(data)
    names, common = proved.names, proved.common_name
    if not names and common is not None:
        names = _as_name(common)
    try:
        kinds = {one.oid.dotted_string for one in csr.attributes}
        challenge = _challenge(csr)
    except (ValueError, TypeError) as error:
        raise EstRefused(REQUEST_MALFORMED, "an attribute of the request cannot be read") from error
    wraps = not kinds.isdisjoint(_DECRYPT_KEYS)
    return EnrolRequest(data, proved, wish_of(csr.subject), names, challenge, wraps, _CHANGE_NAME in kinds)


def bound(request: EnrolRequest, unique: bytes | None, rule: str) -> None:
    """Hold the request against its connection (RFC 7030, 3.5). Raises EstRefused.

    ``unique``: the connection's tls-unique, None under TLS 1.3. ``rule``: as a label's ``channel_binding``.
    """
    if rule == "ignore":
        return
    if request.challenge is None:
        if rule == "require":
            raise EstRefused(BINDING_MISSING)
        return
    if unique is None:
        raise EstRefused(BINDING_UNSUPPORTED)
    try:
        told = base64.b64decode(request.challenge, validate=True)
    except ValueError:
        told = b""
    if not hmac.compare_digest(told, unique):
        raise EstRefused(BINDING_WRONG)


def wish_of(name: x509.Name) -> Wish:
    """A distinguished name as it can be compared, whatever string types it is written in."""
    return tuple(
        tuple(sorted((one.oid.dotted_string, _text(one.value)) for one in rdn)) for rdn in name.rdns
    )  # fmt: skip


def digest_of(subject: Wish, names: GeneralNames) -> bytes:
    """SHA-256 of subject and names."""
    wish: list[Json] = [[list(pair) for pair in rdn] for rdn in subject]
    plain: dict[str, Json] = {"subject": wish, "names": [list(one) for one in names]}
    return hashlib.sha256(canonical_json(plain)).digest()


def certified(certificate: x509.Certificate) -> tuple[Wish, GeneralNames]:
    """Subject and names of a certificate. Raises NameRefused for names that Troth does not issue."""
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return wish_of(certificate.subject), ()
    return wish_of(certificate.subject), canonical_names(names_of(held))


def serial_number_of(certificate: x509.Certificate) -> str | None:
    """The one serialNumber of a certificate's subject (IEEE 802.1AR, 8.6), or None."""
    found = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    return str(found[0].value) if len(found) == 1 and 0 < len(found[0].value) <= 253 else None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


def _as_name(common: str) -> GeneralNames:
    for kind in ("ip", "dns"):
        try:
            return (canonical_name(kind, common.lower()),)
        except NameRefused:
            continue
    return ()


def _challenge(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        found = csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD)
    except x509.AttributeNotFound:
        return None
    if len(found.value) > _LONGEST:
        raise EstRefused(REQUEST_MALFORMED, "the challengePassword is too long")
    return found.value.decode("utf-8", "replace")
