"""Gate and signer agree: what the shipped profiles and the CRL encoder make is within the limits of a newborn key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.signing import LEAF_KEY, spki_of
from troth.kit.clock import FakeClock
from troth.pki import algorithms
from troth.pki.birth import BirthPlan, Unborn, born_root
from troth.pki.crl_der import crl_entry, crl_tbs
from troth.pki.extremes import extremes
from troth.pki.issuer_classes import EVERY
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.profile import parse_profile, shipped_profiles
from troth.pki.serial import new_serial
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.certificate_rules import CertificateRules
from troth.pki.signer.crl_rules import check_crl
from troth.pki.signer.protocol import Bounds
from troth.pki.template import StatusUrls, compile_template
from troth.pki.usages import usage_oid

NOW = datetime(2026, 6, 1, 12, 0, 30, 250_000, tzinfo=UTC)
SPKI = spki_of(ec.generate_private_key(ec.SECP256R1()))
OCSP = spki_of(ec.generate_private_key(ec.SECP256R1()))
OCSP_KEY = KeyMetadata("ocsp-1", KeyPurpose.OCSP, KeyAlgorithm.P256, OCSP, NOW, NOW + timedelta(days=14))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[x509.Certificate, IssuingLimits]:
    data: Path = tmp_path_factory.mktemp("birth")
    only = Unborn("issuing", "Issuing CA", EVERY, SPKI)
    urls = ("http://pki.example/r.cer", "http://pki.example/r.crl")
    plan = BirthPlan(str(data), "Example", "Example Ltd", (only,), *urls)
    issuing = born_root(plan, FakeClock(NOW)).issuing[0].certificate
    usages = {usage_oid(one) for text in shipped_profiles().values() for one in parse_profile(text).extended_key_usage}
    bounds = Bounds(extended_key_usages=tuple(sorted({*Bounds().extended_key_usages, *usages})))
    return x509.load_der_x509_certificate(issuing), limits_from(issuing, SPKI, bounds, NOW)


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_the_longest_certificate_of_each_shipped_profile_is_signed(
    authority: tuple[x509.Certificate, IssuingLimits], name: str
) -> None:
    certificate, limits = authority
    profile = parse_profile(shipped_profiles()[name])
    urls = StatusUrls("http://pki.example/i.cer", "http://pki.example/ocsp", "http://pki.example/i.crl")
    template = compile_template(profile, version=1, authority="issuing", issuer=certificate, urls=urls)
    responder = "OCSPSigning" in profile.extended_key_usage
    begin, end = template.validity(NOW, profile.max_lifetime)
    for rendered in extremes(profile):
        tbs = template.tbs(
            serial=new_serial(NOW),
            spki=OCSP if responder else spki_of(LEAF_KEY),
            names=rendered.names,
            subject=rendered.subject,
            sid=rendered.sid,
            not_before=begin,
            not_after=end,
        )
        CertificateRules(KeyAlgorithm.P256, limits, {OCSP: OCSP_KEY}.get).check(tbs, NOW)


@pytest.mark.parametrize("entries", [0, 3])
def test_a_crl_of_our_encoder_is_signed(authority: tuple[x509.Certificate, IssuingLimits], entries: int) -> None:
    certificate, limits = authority
    begin = NOW.replace(microsecond=0)
    tbs = crl_tbs(
        issuer_name=certificate.subject.public_bytes(),
        issuer_key=algorithms.load_public(SPKI),
        issuer_key_id=limits.key_identifier,
        number=int(NOW.timestamp() * 1000),
        this_update=begin,
        next_update=begin + timedelta(days=7),
        entries=b"".join(crl_entry(new_serial(NOW), NOW, 6) for _ in range(entries)),
    )
    assert check_crl(tbs, KeyAlgorithm.P256, limits, NOW).number == int(NOW.timestamp() * 1000)
