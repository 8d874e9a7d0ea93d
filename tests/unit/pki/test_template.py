"""Templates against cryptography's builder: the same input must give the same bytes."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pki.forge import NOW, URLS, Forge, spki
from troth.pki.errors import AuthorityRefused, LintRefused, NameRefused, ProfileRefused
from troth.pki.lint import Expected, LintToken, findings_of, lint
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.profile import EXTENDED_KEY_USAGES, Profile
from troth.pki.serial import SerialNumber, new_serial
from troth.pki.template import StatusUrls, TbsBytes, Template, subject_key_identifier

FORGE = Forge.make()
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?\Z").map(lambda s: s.replace("--", "-a"))
DNS = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
NAME = st.one_of(
    DNS.map(lambda name: ("dns", name)),
    DNS.map(lambda name: ("dns", "*." + name)),
    st.ip_addresses().filter(lambda ip: not getattr(ip, "scope_id", None)).map(lambda ip: ("ip", str(ip))),
    DNS.map(lambda name: ("email", "someone@" + name)),
    DNS.map(lambda name: ("uri", f"spiffe://{name}/workload")),
)


def _general_name(kind: str, value: str) -> x509.GeneralName:
    if kind == "dns":
        return x509.DNSName(value)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    return x509.RFC822Name(value) if kind == "email" else x509.UniformResourceIdentifier(value)


def _built(
    template: Template,
    urls: StatusUrls,
    profile: Profile,
    serial: bytes,
    key: object,
    names: GeneralNames,
    common_name: str | None,
    begin: datetime,
    end: datetime,
    kind: str,
) -> bytes:
    """The reference: everything through cryptography's own classes."""
    issuer, issuer_key = FORGE.authorities[kind]
    usages = {
        "digital_signature": "digitalSignature",
        "content_commitment": "contentCommitment",
        "key_encipherment": "keyEncipherment",
        "data_encipherment": "dataEncipherment",
        "key_agreement": "keyAgreement",
    }
    subject = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer.subject)
        .subject_name(x509.Name(subject))
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(begin)
        .not_valid_after(end)
        .public_key(key.public_key())  # type: ignore[attr-defined]
        .add_extension(
            x509.KeyUsage(
                **{flag: name in profile.key_usage for flag, name in usages.items()},
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(EXTENDED_KEY_USAGES[u]) for u in profile.extended_key_usage]),
            critical=False,
        )
    )
    if profile.basic_constraints == "end-entity":
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
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
    if profile.ocsp_nocheck:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier(subject_key_identifier(spki(key))),
        critical=False,  # type: ignore[arg-type]
    )
    if names:
        value = x509.SubjectAlternativeName([_general_name(*name) for name in names])
        builder = builder.add_extension(value, critical=common_name is None)
    digest = {"p256": hashes.SHA256(), "p384": hashes.SHA384(), "p521": hashes.SHA512(), "rsa2048": hashes.SHA256()}
    return builder.sign(issuer_key, digest.get(kind)).tbs_certificate_bytes  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(
    profile_name=st.sampled_from(sorted(FORGE.profiles)),
    issuer_kind=st.sampled_from(sorted(FORGE.authorities)),
    key_kind=st.sampled_from(sorted(FORGE.keys)),
    names=st.lists(NAME, max_size=12),
    common_name=st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=16),
    basic_constraints=st.sampled_from(["absent", "end-entity"]),
    key_usage=st.sets(st.sampled_from(["digitalSignature", "keyEncipherment", "keyAgreement"]), min_size=1),
    year=st.integers(2026, 2060),
    urls=st.sampled_from([URLS, StatusUrls(), StatusUrls(crl=URLS.crl), StatusUrls(ca_issuers=URLS.ca_issuers)]),
)
def test_template_is_byte_equal_to_the_builder(
    profile_name: str,
    issuer_kind: str,
    key_kind: str,
    names: list[tuple[str, str]],
    common_name: str | None,
    basic_constraints: str,
    key_usage: set[str],
    year: int,
    urls: StatusUrls,
) -> None:
    profile = msgspec.structs.replace(
        FORGE.profiles[profile_name], basic_constraints=basic_constraints, key_usage=tuple(sorted(key_usage))
    )
    try:
        canonical = canonical_names(names)
    except NameRefused:
        return
    template = FORGE.template(profile, issuer_kind, urls)
    serial = new_serial(NOW)
    key = FORGE.keys[key_kind]
    begin = NOW.replace(microsecond=0)
    end = begin.replace(year=year, month=12)
    ours = template.tbs(
        serial=serial, spki=spki(key), names=canonical, common_name=common_name, not_before=begin, not_after=end
    )
    assert ours == _built(template, urls, profile, serial, key, canonical, common_name, begin, end, issuer_kind)


def _leaf(profile: str = "tls-server", **changes: object) -> tuple[TbsBytes, Template, Expected]:
    template = FORGE.template(profile)
    begin, end = template.validity(NOW)
    values: dict[str, object] = {
        "serial": new_serial(NOW),
        "spki": spki(FORGE.keys["p256"]),
        "names": (("dns", "a.example"),),
        "common_name": None,
        "not_before": begin,
        "not_after": end,
    }
    expected = Expected(**values, now=NOW)  # type: ignore[arg-type]
    return template.tbs(**(values | changes)), template, expected  # type: ignore[arg-type]


def test_lint_passes_what_the_template_made() -> None:
    tbs, template, expected = _leaf()
    assert findings_of(tbs, template, expected) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serial": SerialNumber(b"\x40" + b"\x01" * 15)}, "lint.serial"),
        ({"names": (("dns", "b.example"),)}, "lint.subject_alternative_name"),
        ({"names": (("dns", "a.example"), ("dns", "b.example"))}, "lint.subject_alternative_name"),
        ({"names": ()}, "lint.extension_set"),
        ({"common_name": "a.example"}, "lint.subject"),
        ({"spki": spki(FORGE.keys["p384"])}, "lint.key"),
        ({"not_before": NOW.replace(microsecond=0) - timedelta(days=2)}, "lint.validity"),
        ({"not_after": NOW.replace(microsecond=0) + timedelta(days=120)}, "lint.validity"),
    ],
)
def test_lint_names_what_differs_from_the_request(changes: dict[str, object], code: str) -> None:
    tbs, template, expected = _leaf(**changes)  # type: ignore[arg-type]
    assert code in findings_of(tbs, template, expected)


def test_lint_refuses_bytes_of_another_profile() -> None:
    tbs, _, expected = _leaf("client-device")
    found = findings_of(tbs, FORGE.template("tls-server"), expected)
    assert "lint.extended_key_usage" in found


def test_lint_refuses_bytes_that_do_not_parse() -> None:
    tbs, template, expected = _leaf()
    assert findings_of(TbsBytes(tbs[:-1]), template, expected) == ["lint.unparsable"]
    flipped = bytearray(tbs)
    flipped[8] ^= 0xFF
    assert findings_of(TbsBytes(bytes(flipped)), template, expected)


def test_lint_token_is_good_once_and_for_its_bytes_only() -> None:
    tbs, template, expected = _leaf()
    reservation = uuid4()
    token = lint(tbs, template, expected, reservation=reservation)
    token.redeem("issuing", reservation, tbs)
    with pytest.raises(LintRefused, match="once"):
        token.redeem("issuing", reservation, tbs)
    for authority, other, data in [("x", reservation, tbs), ("issuing", uuid4(), tbs), ("issuing", reservation, b"x")]:
        fresh = lint(tbs, template, expected, reservation=reservation)
        with pytest.raises(LintRefused, match="bound"):
            fresh.redeem(authority, other, TbsBytes(data))
        with pytest.raises(LintRefused, match="once"):
            fresh.redeem("issuing", reservation, tbs)


def test_lint_tokens_cannot_be_made_elsewhere() -> None:
    with pytest.raises(LintRefused):
        LintToken("issuing", uuid4(), TbsBytes(b""), seal=object())


def test_validity_counts_the_last_second_and_truncates() -> None:
    template = FORGE.template("tls-server")
    begin, end = template.validity(NOW, timedelta(days=400))
    assert begin == NOW.replace(microsecond=0) - timedelta(minutes=5)
    assert end - begin + timedelta(seconds=1) == timedelta(days=90)


def test_validity_never_leaves_the_issuers() -> None:
    template = FORGE.template("tls-server")
    late = template.issuer.not_valid_after_utc - timedelta(days=1)
    assert template.validity(late)[1] == template.issuer.not_valid_after_utc
    with pytest.raises(AuthorityRefused):
        template.validity(template.issuer.not_valid_after_utc)


def test_a_lifetime_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ProfileRefused):
        FORGE.template("tls-server").validity(NOW, timedelta(minutes=5))


def test_serials_are_positive_ordered_and_16_octets() -> None:
    first, second = new_serial(NOW), new_serial(NOW + timedelta(milliseconds=2))
    assert len(first) == 16
    assert 0 < first[0] < 0x80
    assert first < second
    assert len({new_serial(NOW) for _ in range(1000)}) == 1000
