"""Certificates as cryptography's own builder makes them: what templates are held against, byte for byte."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID
from pyasn1.codec.der import encoder
from pyasn1.type import char, univ

from tests.unit.pki.forge import Forge, spki
from troth.pki import algorithms
from troth.pki.attributes import TYPES, Attributes, parse_attributes
from troth.pki.other_names import HARDWARE_MODULE, PERMANENT_IDENTIFIER, UPN
from troth.pki.profile import Profile
from troth.pki.rendering import Rendered
from troth.pki.template import StatusUrls, subject_key_identifier
from troth.pki.usages import usage_oid


def general_name(kind: str, value: str) -> x509.GeneralName:
    if kind == "dns":
        return x509.DNSName(value)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind in ("email", "uri"):
        return x509.RFC822Name(value) if kind == "email" else x509.UniformResourceIdentifier(value)
    if kind == "directory":
        return x509.DirectoryName(x509.Name(name_attributes(parse_attributes(value))))
    head, slash, tail = value.partition("/")
    if kind == "upn":
        return _other(UPN, encoder.encode(char.UTF8String(value)))
    if kind == "hardware-module":
        return _other(HARDWARE_MODULE, _sequence(univ.ObjectIdentifier(head), univ.OctetString(bytes.fromhex(tail))))
    assigned = bool(slash) and set(head) <= set("0123456789.")
    parts = [char.UTF8String(tail), univ.ObjectIdentifier(head)] if assigned else [char.UTF8String(value)]
    return _other(PERMANENT_IDENTIFIER, _sequence(*parts))


def _sequence(*parts: object) -> bytes:
    made = univ.Sequence()
    for place, part in enumerate(parts):
        made.setComponentByPosition(place, part)
    return bytes(encoder.encode(made))


def _other(oid: str, value: bytes) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


def name_attributes(attributes: Attributes) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(x509.ObjectIdentifier(TYPES[kind].oid), value) for kind, value in attributes]


def _security(sid: str) -> x509.UnrecognizedExtension:
    """MS-WCCE 2.2.2.7.7.4 through another encoder."""
    name = x509.OtherName(
        x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2.1"), encoder.encode(univ.OctetString(sid.encode()))
    )
    return x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), x509.SubjectAlternativeName([name]).public_bytes()
    )


def built(
    forge: Forge,
    urls: StatusUrls,
    profile: Profile,
    serial: bytes,
    key: algorithms.PrivateKey,
    rendered: Rendered,
    begin: datetime,
    end: datetime,
    kind: str,
) -> bytes:
    """The TBSCertificate, everything through cryptography's own classes."""
    issuer, issuer_key = forge.authorities[kind]
    names = rendered.names
    usages = {
        "digital_signature": "digitalSignature",
        "content_commitment": "contentCommitment",
        "key_encipherment": "keyEncipherment",
        "data_encipherment": "dataEncipherment",
        "key_agreement": "keyAgreement",
    }
    ca = profile.basic_constraints == "ca"
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.subject)
        .subject_name(x509.Name(name_attributes(rendered.subject)))
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(begin)
        .not_valid_after(end)
        .public_key(key.public_key())
        .add_extension(
            x509.KeyUsage(
                **{flag: name in profile.key_usage for flag, name in usages.items()},
                key_cert_sign="keyCertSign" in profile.key_usage,
                crl_sign="cRLSign" in profile.key_usage,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage_oid(u)) for u in profile.extended_key_usage]),
            critical=False,
        )
    )
    if profile.basic_constraints != "absent":
        builder = builder.add_extension(x509.BasicConstraints(ca, profile.path_length if ca else None), critical=True)
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
    )
    access = []
    if urls.ocsp and "ocsp" in profile.status:
        oid = AuthorityInformationAccessOID.OCSP
        access.append(x509.AccessDescription(oid, x509.UniformResourceIdentifier(urls.ocsp)))
    if urls.ca_issuers:
        oid = AuthorityInformationAccessOID.CA_ISSUERS
        access.append(x509.AccessDescription(oid, x509.UniformResourceIdentifier(urls.ca_issuers)))
    if access:
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), critical=False)
    if urls.crl and "crl" in profile.status:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(urls.crl)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    builder = _rarer(builder, profile)
    if profile.ocsp_nocheck:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier(subject_key_identifier(spki(key))),
        critical=False,  # type: ignore[arg-type]
    )
    if names:
        value = x509.SubjectAlternativeName([general_name(*name) for name in names])
        builder = builder.add_extension(value, critical=not rendered.subject)
    if rendered.sid is not None:
        builder = builder.add_extension(_security(rendered.sid), critical=False)
    digest = {"p256": hashes.SHA256(), "p384": hashes.SHA384(), "p521": hashes.SHA512(), "rsa2048": hashes.SHA256()}
    return builder.sign(issuer_key, digest.get(kind)).tbs_certificate_bytes


def _rarer(builder: x509.CertificateBuilder, profile: Profile) -> x509.CertificateBuilder:
    if profile.policies:
        policies = [
            x509.PolicyInformation(x509.ObjectIdentifier(one.oid), None if one.cps is None else [one.cps])
            for one in profile.policies
        ]
        builder = builder.add_extension(x509.CertificatePolicies(policies), critical=False)
    constraints = profile.name_constraints
    if constraints is not None:
        permitted, excluded = (
            [_subtree(*pair) for entry in entries for pair in entry.items()] or None
            for entries in (constraints.permitted, constraints.excluded)
        )
        builder = builder.add_extension(x509.NameConstraints(permitted, excluded), critical=True)
    if profile.must_staple:
        builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    if profile.no_rev_avail:
        none = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00")
        builder = builder.add_extension(none, critical=False)
    return builder


def _subtree(kind: str, value: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_network(value)) if kind == "ip" else general_name(kind, value)
