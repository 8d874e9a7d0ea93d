"""``tpm``: an attestation key (AK) of a TPM 2.0 certifies another key of the same TPM (TPM2_Certify).

Who the device is stands in the AK's certificate, made by this installation's attestation CA or by one that an operator
pinned. A certificate without any identifier (Microsoft's) proves a genuine TPM and no more: the device is then found by
the hash of the AK, which somebody must have registered; absence is never taken for a match.
"""

from __future__ import annotations

import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from troth.enroll.attest import leaf, signatures
from troth.enroll.attest.errors import BINDING, CERTIFICATE, KEY, SIGNATURE
from troth.enroll.attest.model import (
    HARDWARE_MODULE,
    PERMANENT_IDENTIFIER,
    TPM,
    Checks,
    DeviceId,
    Evidence,
    Known,
    key_sha256,
)
from troth.enroll.attest.statement import Statement
from troth.kit.canonical import Json
from troth.pki import der, other_names
from troth.pki.algorithms import PublicKey, spki_of
from troth.tpm import structures
from troth.tpm.errors import TpmMalformed

AK_CERTIFICATE = "2.23.133.8.3"
_MANUFACTURER, _MODEL, _VERSION = (f"2.23.133.2.{number}" for number in (1, 2, 3))
_VENDOR = re.compile(r"id:[0-9A-F]{8}\Z")
_CURVES = {3: "secp256r1", 4: "secp384r1", 5: "secp521r1"}


def verify(statement: Statement, known: Known, checks: Checks) -> Evidence:
    """Note the checks of this format; what certificate, certification and public area say."""
    members = statement.members
    checks.hold("tpm.ver", members.get("ver") == "2.0", "2.0", members.get("ver"), CERTIFICATE)
    facts, identifiers = _attestation_key(statement, checks)
    public = _public(members.get("pubArea"), checks)
    attest = _attest(members.get("certInfo"), checks)
    if attest is not None:
        _certification(attest, public, checks)
        _binding(attest, members.get("alg"), known, checks)
        facts |= {
            "tpm_reset_count": attest.clock.resets,
            "tpm_restart_count": attest.clock.restarts,
            "tpm_clock_safe": attest.clock.safe,
            "tpm_firmware": f"{attest.firmware:016x}",
        }
    _signature(statement, known, checks)
    spki = None
    if public is not None:
        _attributes(public, checks)
        spki = leaf.sound_key(_key(public), checks)
    key = statement.leaf.public_key() if statement.certificates else None
    attested_by = key_sha256(spki_of(key)) if isinstance(key, PublicKey) else None
    if attested_by is not None:
        facts["attestation_key"] = attested_by
    return Evidence(TPM, spki, identifiers, facts, attested_by)


def _attestation_key(statement: Statement, checks: Checks) -> tuple[dict[str, Json], frozenset[DeviceId]]:
    """TPM profile of WebAuthn (8.3.1) and of the TCG: version 3, empty subject, critical names, purpose, no CA."""
    if not statement.certificates:
        return {}, frozenset()
    certificate = statement.leaf
    checks.hold("tpm.ak.version", certificate.version is x509.Version.v3, "v3", certificate.version.name, CERTIFICATE)
    subject = certificate.subject.rfc4514_string()
    checks.hold("tpm.ak.subject", not certificate.subject.rdns, "an empty subject", subject or "empty", CERTIFICATE)
    purposes: list[str] = []
    is_ca, critical = False, False
    names: x509.SubjectAlternativeName | None = None
    for one in certificate.extensions:
        if isinstance(one.value, x509.ExtendedKeyUsage):
            purposes = [purpose.dotted_string for purpose in one.value]
        elif isinstance(one.value, x509.BasicConstraints):
            is_ca = one.value.ca
        elif isinstance(one.value, x509.SubjectAlternativeName):
            names, critical = one.value, one.critical
    checks.hold(
        "tpm.ak.purpose", AK_CERTIFICATE in purposes, AK_CERTIFICATE, ", ".join(purposes) or "none", CERTIFICATE
    )
    checks.hold("tpm.ak.not_ca", not is_ca, "no CA", "a CA" if is_ca else "no CA", CERTIFICATE)
    checks.hold("tpm.ak.names_critical", critical, "critical alternative names",
                "critical" if critical else "absent" if names is None else "not critical", CERTIFICATE)  # fmt: skip
    facts, identifiers, bad = _names(names)
    told = ", ".join(f"{name} {value}" for name, value in facts.items()) or "none"
    checks.hold("tpm.ak.device", len(facts) == 3 and bool(_VENDOR.match(str(facts.get("tpm_manufacturer")))),
                "manufacturer (id:XXXXXXXX), model and version of the TPM", told, CERTIFICATE)  # fmt: skip
    if bad:
        checks.hold("tpm.ak.names", False, "readable other names", bad, CERTIFICATE)
    return facts, identifiers


def _names(names: x509.SubjectAlternativeName | None) -> tuple[dict[str, Json], frozenset[DeviceId], str]:
    facts: dict[str, Json] = {}
    found: set[DeviceId] = set()
    called = {_MANUFACTURER: "tpm_manufacturer", _MODEL: "tpm_model", _VERSION: "tpm_version"}
    for name in names or ():
        if isinstance(name, x509.DirectoryName):
            for attribute in name.value:
                known = called.get(attribute.oid.dotted_string)
                if known is not None:
                    facts[known] = str(attribute.value)[:64]
        elif isinstance(name, x509.OtherName):
            try:
                one = _device_id(name)
            except (der.DerError, ValueError):
                return facts, frozenset(found), name.type_id.dotted_string
            if one is not None:
                found.add(one)
    return facts, frozenset(found), ""


def _device_id(name: x509.OtherName) -> DeviceId | None:
    """A permanent identifier or hardware module name as ACME writes it; None for other kinds."""
    outer = der.Reader(name.value)
    if name.type_id.dotted_string == other_names.PERMANENT_IDENTIFIER:
        inner = outer.enter(der.SEQUENCE)
        outer.close()
        text = inner.read(der.UTF8_STRING).decode()
        assigner = inner.take(der.OID)
        inner.close()
        return PERMANENT_IDENTIFIER, text if assigner is None else f"{text}/{der.read_oid(assigner)}"
    if name.type_id.dotted_string == other_names.HARDWARE_MODULE:
        inner = outer.enter(der.SEQUENCE)
        outer.close()
        kind, serial = der.read_oid(inner.read(der.OID)), inner.read(der.OCTET_STRING)
        inner.close()
        return HARDWARE_MODULE, f"{serial.decode()}/{kind}"
    return None


def _public(value: object, checks: Checks) -> structures.Public | None:
    found, got = None, "none"
    try:
        if isinstance(value, bytes):
            found = structures.read_public(value)
            got = kind_of(found)
    except TpmMalformed as error:
        got = error.detail
    checks.hold("tpm.public", found is not None, "TPMT_PUBLIC of an RSA or ECC key", got, CERTIFICATE)
    return found


def _key(public: structures.Public) -> PublicKey | None:
    try:
        return public.key()
    except TpmMalformed:
        return None  # numbers that are no key


def kind_of(public: structures.Public) -> str:
    """``rsa2048``, ``secp256r1``."""
    key = public.unique
    return f"rsa{key.bits}" if isinstance(key, structures.RsaUnique) else _CURVES[key.curve]


def _attest(value: object, checks: Checks) -> structures.Attest | None:
    found, got = None, "none"
    try:
        if isinstance(value, bytes):
            found = structures.read_attest(value)
            got = "readable"
    except TpmMalformed as error:
        got = error.detail
    checks.hold("tpm.certify", found is not None, "TPMS_ATTEST that a TPM made", got, CERTIFICATE)
    return found


def _certification(attest: structures.Attest, public: structures.Public | None, checks: Checks) -> None:
    certified = attest.attested
    is_certification = isinstance(certified, structures.Certified)
    checks.hold("tpm.certify.type", is_certification, "a certification of a key",
                "a certification" if is_certification else "a creation", SIGNATURE)  # fmt: skip
    if public is None or public.name_algorithm is structures.Algorithm.SHA1:
        checks.hold("tpm.certify.name", False, "the name of the attested key, over SHA-256 or stronger",
                    "no key" if public is None else "a name over SHA-1", SIGNATURE)  # fmt: skip
        return
    same = is_certification and certified.name == public.name
    checks.hold("tpm.certify.name", same, public.name, certified.name, SIGNATURE)


def _binding(attest: structures.Attest, number: object, known: Known, checks: Checks) -> None:
    """Over the key authorization: its SHA-256 (smallstep's client, Troth's), or the algorithm's own, if stronger."""
    if known.key_authorization is None:
        checks.not_asked("tpm.certify.extra_data", "SHA-256 of the key authorization", BINDING)
        return
    data = known.key_authorization.encode()
    taken = [hashlib.sha256(data).digest()]
    algorithm = signatures.ALGORITHMS.get(number) if isinstance(number, int) else None
    if algorithm is not None and algorithm.digest is not None and algorithm.digest.name in ("sha384", "sha512"):
        taken.append(hashlib.new(algorithm.digest.name, data).digest())
    checks.hold("tpm.certify.extra_data", attest.extra in taken, taken[0], attest.extra or "nothing", BINDING)


def _signature(statement: Statement, known: Known, checks: Checks) -> None:
    number, sig, data = (statement.members.get(name) for name in ("alg", "sig", "certInfo"))
    algorithm = signatures.ALGORITHMS.get(number) if isinstance(number, int) else None
    taken = algorithm is not None and (number != signatures.RS1 or known.rules.rsa_sha1)
    checks.hold("tpm.alg", taken, "a COSE algorithm over SHA-256 or stronger", signatures.named(number), SIGNATURE)
    expected = "a signature over certInfo by the attestation key"
    if algorithm is None or not isinstance(sig, bytes) or not isinstance(data, bytes) or not statement.certificates:
        checks.hold("tpm.signature", False, expected, "a member is missing", SIGNATURE)
        return
    octets = _unwrapped(sig, algorithm)
    if octets is None:
        checks.hold("tpm.signature", False, expected, "a TPMT_SIGNATURE of another algorithm than alg", SIGNATURE)
        return
    good = signatures.verifies(statement.leaf.public_key(), algorithm, octets, data)
    checks.hold("tpm.signature", good, expected, "it verifies" if good else "it does not verify", SIGNATURE)


def _unwrapped(sig: bytes, algorithm: signatures.Algorithm) -> bytes | None:
    """The signature in TPMT_SIGNATURE, which must be of ``algorithm``; or ``sig`` as it is.

    Windows, and WebAuthn's own vectors, send the raw signature of RSA and the DER of ECDSA.
    """
    try:
        found = structures.read_signature(sig)
    except TpmMalformed:
        return sig
    if algorithm.digest is None or structures.hash_name(found.hash) != algorithm.digest.name:
        return None
    if isinstance(found, structures.EcdsaSignature):
        return encode_dss_signature(found.r, found.s) if algorithm.scheme == "ecdsa" else None
    scheme = "pss" if found.scheme is structures.Algorithm.RSAPSS else "pkcs1"
    return found.signature if algorithm.scheme == scheme else None


def _attributes(public: structures.Public, checks: Checks) -> None:
    for wanted, name, called, why in (
        (structures.Attributes.FIXED_TPM, "fixedTPM", "fixed_tpm", "cannot leave its TPM"),
        (structures.Attributes.FIXED_PARENT, "fixedParent", "fixed_parent", "cannot be moved under another parent"),
        (structures.Attributes.SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin", "made_inside", "was made in the TPM"),
        (structures.Attributes.SIGN, "sign", "signs", "signs"),
    ):
        has = public.has(wanted)
        checks.hold(f"tpm.key.{called}", has, f"{name}: {why}", "set" if has else "not set", KEY)
    # A restricted key signs nothing but the TPM's own structures: it is an attestation key, and no request's.
    restricted = public.has(structures.Attributes.RESTRICTED)
    checks.hold("tpm.key.unrestricted", not restricted, "restricted: not set", "set" if restricted else "not set", KEY)
    key = public.unique
    large = not isinstance(key, structures.RsaUnique) or key.bits >= 2048
    checks.hold("tpm.key.size", large, "RSA of 2,048 bits or P-256, P-384, P-521", kind_of(public), KEY)
