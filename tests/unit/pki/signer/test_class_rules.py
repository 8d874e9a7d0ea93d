"""The issuer classes in the signer: what each key may certify, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.signing import authority_certificate, leaf_tbs, spki_of, usage
from troth.kit.settings import PkiSettings
from troth.pki import der
from troth.pki.errors import NameRefused
from troth.pki.issuer_classes import EVERY, IssuerClass, IssuerClasses
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.profile import EXTENDED_KEY_USAGES, parse_profile, shipped_profiles
from troth.pki.signer import class_rules as rules_of
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.certificate_rules import CertificateRules
from troth.pki.signer.class_rules import RULES, Policy, ReservedNames, bounds_of, policy_of
from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.protocol import Bounds

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CA, RADIUS_KEY, RA_KEY, ISSUING_KEY = (spki_of(ec.generate_private_key(ec.SECP256R1())) for _ in range(4))
OWN = {
    RADIUS_KEY: KeyMetadata("radius-1", KeyPurpose.RADIUS, KeyAlgorithm.P256, RADIUS_KEY, NOW),
    RA_KEY: KeyMetadata("ra-1", KeyPurpose.RA, KeyAlgorithm.P256, RA_KEY, NOW),
    ISSUING_KEY: KeyMetadata("issuing-1", KeyPurpose.ISSUING, KeyAlgorithm.P256, ISSUING_KEY, NOW),
}
OPEN, PEOPLE = (IssuerClass.OPEN,), (IssuerClass.PEOPLE,)
INFRASTRUCTURE, RADIUS = (IssuerClass.INFRASTRUCTURE,), (IssuerClass.RADIUS,)
RESERVED = ReservedNames(["radius.corp.example"])
SID = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), b"\x30\x00")
SID_URI = x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")


def test_names_are_reserved_by_the_signers_own_configuration() -> None:
    policy = policy_of(PkiSettings(radius_names=("Radius.Corp.Example",)))
    assert policy.reserved.covers("a.radius.corp.example")
    assert policy.reserved.covers("radius.corp.example")
    assert not policy.reserved.covers("corp.example")
    assert not policy_of(PkiSettings()).reserved
    # A mistyped name would reserve nothing: the signer does not start with it.
    for name in ("*.corp.example", "radius corp", "https://radius.corp.example"):
        with pytest.raises(NameRefused):
            policy_of(PkiSettings(radius_names=(name,)))


def other_name(dotted: str) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(dotted), der.tlv(der.UTF8_STRING, b"someone@corp.example"))


UPN = other_name("1.3.6.1.4.1.311.20.2.3")


def refusal(
    classes: IssuerClasses,
    *usages: str,
    names: Sequence[x509.GeneralName] = (x509.DNSName("leaf.example"),),
    common_name: str = "leaf",
    spki: bytes | None = None,
    sid: bool = False,
    foreign_radius_keys: bool = False,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    bounds: Bounds | None = None,
    ca: bool = False,
) -> str | None:
    """The code that such a certificate is refused with, or None."""
    certificate = authority_certificate(CA, NOW, path_length=1 if ca else 0)
    limits = limits_from(certificate, CA, bounds or bounds_of(classes), NOW)
    rules = CertificateRules(KeyAlgorithm.P256, limits, OWN.get, Policy(RESERVED, foreign_radius_keys))
    tbs = leaf_tbs(
        CA,
        NOW,
        usages=[x509.ObjectIdentifier(one) for one in usages] or None,
        names=names,
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        spki=spki,
        extra=[*extra, *([(SID, False)] if sid else [])],
        constraints=x509.BasicConstraints(ca, 0 if ca else None),
        key_usage=usage(sign_certificates=ca, sign_crls=ca),
    )
    try:
        rules.check(tbs, NOW)
    except SignerRefused as error:
        return error.code
    return None


@pytest.mark.parametrize("classes", [OPEN, INFRASTRUCTURE, RADIUS])
@pytest.mark.parametrize(
    "usage", [rules_of.SMARTCARD_LOGON, rules_of.EMAIL_PROTECTION, rules_of.CODE_SIGNING, rules_of.PKINIT_CLIENT]
)
def test_log_on_mail_and_code_are_certified_for_people_alone(classes: IssuerClasses, usage: str) -> None:
    assert refusal(PEOPLE, usage) is None
    assert refusal(classes, usage) == "signer.limit.extended_key_usage"
    # Bounds that were written wider than the class change nothing: they are not taken.
    with pytest.raises(SignerRefused):
        refusal(classes, usage, bounds=Bounds(extended_key_usages=(usage,), issuer_classes=classes))


def test_names_that_log_people_on_are_for_people_alone() -> None:
    client = rules_of.CLIENT_AUTH
    assert refusal(PEOPLE, client, names=[UPN]) is None
    assert refusal(PEOPLE, client, sid=True) is None
    assert refusal(PEOPLE, client, names=[SID_URI]) is None
    for classes in (OPEN, INFRASTRUCTURE):
        assert refusal(classes, client, names=[UPN]) == "signer.limit.name"
        assert refusal(classes, client, sid=True) == "signer.limit.class"
        assert refusal(classes, client, names=[SID_URI]) == "signer.limit.class"


def test_other_names_of_unknown_type_are_for_nobody() -> None:
    assert refusal(EVERY, rules_of.CLIENT_AUTH, names=[other_name("1.2.3.4")]) == "signer.limit.name"
    assert refusal(OPEN, rules_of.CLIENT_AUTH, names=[other_name("1.3.6.1.5.5.7.8.3")]) is None


def test_people_certify_no_servers() -> None:
    assert refusal(PEOPLE, rules_of.SERVER_AUTH) == "signer.limit.extended_key_usage"


@pytest.mark.parametrize(
    "name",
    [
        "radius.corp.example",
        "RADIUS.corp.example",
        "a.radius.corp.example",  # domain_suffix_match believes it
        "*.corp.example",
        "*.radius.corp.example",
    ],
)
def test_names_of_radius_servers_are_certified_under_radius_alone(name: str) -> None:
    names = [x509.DNSName("leaf.example"), x509.DNSName(name)]
    for classes in (OPEN, INFRASTRUCTURE):
        assert refusal(classes, rules_of.SERVER_AUTH, names=names) == "signer.limit.reserved_name"
        assert refusal(classes, rules_of.SERVER_AUTH, common_name=f" {name}.") == "signer.limit.reserved_name"
        assert refusal(classes, rules_of.CLIENT_AUTH, names=names) is None
    assert refusal(RADIUS, rules_of.SERVER_AUTH, names=names, spki=RADIUS_KEY) is None


@pytest.mark.parametrize("name", ["radius2.corp.example", "corp.example", "*.example", "xradius.corp.example"])
def test_other_names_are_not_reserved_with_them(name: str) -> None:
    assert refusal(OPEN, rules_of.SERVER_AUTH, names=[x509.DNSName(name)]) is None


def test_eap_over_lan_is_certified_under_radius_alone() -> None:
    assert refusal(OPEN, rules_of.EAP_OVER_LAN) == "signer.limit.extended_key_usage"
    assert refusal(RADIUS, rules_of.EAP_OVER_LAN, rules_of.SERVER_AUTH, spki=RADIUS_KEY) is None


def test_a_radius_server_is_certified_for_a_key_made_here_or_for_a_strangers_where_that_is_allowed() -> None:
    assert refusal(RADIUS, rules_of.SERVER_AUTH) == "signer.limit.own_key"
    assert refusal(RADIUS, rules_of.SERVER_AUTH, spki=RA_KEY) == "signer.limit.own_key"
    assert refusal(RADIUS, rules_of.SERVER_AUTH, foreign_radius_keys=True) is None
    assert refusal(RADIUS, rules_of.SERVER_AUTH, spki=RA_KEY, foreign_radius_keys=True) == "signer.limit.own_key"
    # An authority from before there were classes: a reserved name makes the certificate a RADIUS server's.
    reserved = [x509.DNSName("radius.corp.example")]
    assert refusal(EVERY, rules_of.SERVER_AUTH, names=reserved, bounds=Bounds()) == "signer.limit.own_key"
    assert refusal(EVERY, rules_of.SERVER_AUTH, names=reserved, bounds=Bounds(), spki=RADIUS_KEY) is None


def test_keys_made_here_are_certified_for_their_purpose_alone() -> None:
    ra = rules_of.REGISTRATION_AUTHORITY
    assert refusal(INFRASTRUCTURE, ra, spki=RA_KEY) is None
    assert refusal(INFRASTRUCTURE, ra) == "signer.limit.own_key"
    assert refusal(INFRASTRUCTURE, ra, rules_of.SERVER_AUTH, spki=RA_KEY) == "signer.limit.extended_key_usage"
    assert refusal(OPEN, ra, spki=RA_KEY) == "signer.limit.extended_key_usage"
    for key in (RADIUS_KEY, RA_KEY, ISSUING_KEY):
        assert refusal(OPEN, rules_of.SERVER_AUTH, spki=key) == "signer.limit.responder"


def test_only_infrastructure_certifies_keys_whose_word_makes_others_attested() -> None:
    usage = rules_of.TPM_ATTESTATION_KEY
    names = [other_name("1.3.6.1.5.5.7.8.3"), x509.UniformResourceIdentifier("urn:ek:sha256:AAAA")]
    assert refusal(INFRASTRUCTURE, usage, names=names) is None
    for classes in (OPEN, PEOPLE, RADIUS):
        assert refusal(classes, usage, names=()) == "signer.limit.extended_key_usage"


def test_a_subordinate_authority_of_a_class_says_which_usages_it_is_for() -> None:
    bounds = Bounds(allow_ca=True, extended_key_usages=(rules_of.CLIENT_AUTH,), issuer_classes=OPEN)
    assert refusal(OPEN, ca=True, bounds=bounds) == "signer.limit.extended_key_usage"
    assert refusal(OPEN, rules_of.CLIENT_AUTH, ca=True, bounds=bounds) is None
    assert refusal(OPEN, rules_of.CLIENT_AUTH, ca=True, bounds=bounds, spki=ISSUING_KEY) is None


@pytest.mark.parametrize("critical", [True, False])
def test_extensions_that_nobody_knows_are_refused(critical: bool) -> None:
    policies = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.21.10"), b"\x30\x00")
    assert refusal(OPEN, rules_of.CLIENT_AUTH, extra=[(policies, critical)]) == "signer.limit.extension"


def test_every_class_may_certify_its_own_responder_and_nothing_goes_beyond_the_table() -> None:
    assert set(RULES) == set(IssuerClass)
    for classes in ((one,) for one in IssuerClass):
        bounds = bounds_of(classes)
        assert rules_of.OCSP_SIGNING in bounds.extended_key_usages
        assert bounds.max_validity_seconds <= timedelta(days=1098).total_seconds()


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_the_signer_lets_each_shipped_profile_be_issued_under_its_class(name: str) -> None:
    profile = parse_profile(shipped_profiles()[name])
    rule = RULES[IssuerClass(profile.issuer_class)]
    assert {EXTENDED_KEY_USAGES[usage] for usage in profile.extended_key_usage} <= rule.usages
    assert set(profile.names.kinds) <= rule.names
    assert profile.max_lifetime <= timedelta(days=rule.max_validity_days)
