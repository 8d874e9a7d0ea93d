"""device-identity and spiffe-workload: openssl and cryptography's verifier as those who read them."""

from __future__ import annotations

import re
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tests.consumers.test_tls import shake_hands
from tests.support.consumers import Bureau, Consumer, Credential
from troth.pki.errors import HARDWARE_REQUIRED, ProfileRefused

pytestmark = pytest.mark.xdist_group("tls")
WORKLOAD = {"workload.name": "shop", "workload.environment": "production", "workload.trust_domain": "corp.test"}
DEVICE = {"device.name": "laptop-17", "device.serial": "C02ZK0"}


class NoSvid(Exception):
    """Why a certificate is no X509-SVID of the trust domain."""


def spiffe_id(credential: Credential, bureau: Bureau, domain: str) -> str:
    """The SPIFFE ID of an X509-SVID, read by the standard's own rules (X509-SVID, 2 to 5), not by the product."""
    store = Store(x509.load_pem_x509_certificates(bureau.root.read_bytes()))
    [authority] = x509.load_pem_x509_certificates(credential.authority.read_bytes())
    try:
        verified = PolicyBuilder().store(store).build_client_verifier().verify(credential.x509, [authority])
    except VerificationError as error:
        raise NoSvid(str(error)) from error
    leaf = credential.x509
    uris = [name.value for name in verified.subjects or [] if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1:
        raise NoSvid(f"{len(uris)} URI names (2: exactly one)")
    if not re.fullmatch(rf"spiffe://{re.escape(domain)}(/[A-Za-z0-9._-]+)+", uris[0]):
        raise NoSvid(f"{uris[0]} is no workload of {domain} (3, 4.1)")
    if leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise NoSvid("an authority (4.1)")
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    if not usage.critical or not usage.value.digital_signature or usage.value.key_cert_sign or usage.value.crl_sign:
        raise NoSvid("key usage (4.3)")
    wanted = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if not wanted <= set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value):
        raise NoSvid("extended key usage (4.4)")
    return uris[0]


def test_spiffe_workload_is_an_x509_svid_of_its_trust_domain_and_of_no_other(bureau: Bureau) -> None:
    credential = bureau.issue("spiffe-workload", WORKLOAD, key="p256")

    assert spiffe_id(credential, bureau, "corp.test") == "spiffe://corp.test/production/shop"
    with pytest.raises(NoSvid, match="no workload of other"):
        spiffe_id(credential, bureau, "other.test")
    life = credential.x509.not_valid_after_utc - credential.x509.not_valid_before_utc
    assert life <= timedelta(hours=4)


@pytest.mark.parametrize("profile", ["mutual-tls", "client-device"])
def test_certificates_with_names_alone_are_no_svids(bureau: Bureau, profile: str) -> None:
    with pytest.raises(NoSvid, match="0 URI names"):
        spiffe_id(bureau.issue(profile, None, ("dns", "shop.corp.test")), bureau, "corp.test")


def test_two_workloads_speak_mutual_tls_and_each_reads_the_others_id(bureau: Bureau) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # SPIFFE compares identities, not host names (X509-SVID, 5.2).
    calling.check_hostname = False
    for context, name in ((serving, "shop"), (calling, "cart")):
        one = bureau.issue("spiffe-workload", {**WORKLOAD, "workload.name": name}, key="p256")
        context.load_cert_chain(one.chain, one.key)
        context.load_verify_locations(bureau.root)
        context.verify_mode = ssl.CERT_REQUIRED

    seen = shake_hands(serving, calling, None)

    assert seen["subjectAltName"] == (("URI", "spiffe://corp.test/production/cart"),)


def test_openssl_verifies_a_device_identity_for_clients_and_not_for_servers(bureau: Bureau, consumer: Consumer) -> None:
    credential = bureau.issue("device-identity", DEVICE, assurance="attested")

    def verify(purpose: str, *, fails: bool = False) -> str:
        return consumer.run(
            "openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", bureau.root,
            "-untrusted", credential.authority, credential.certificate, fails=fails,
        )  # fmt: skip

    assert ": OK" in verify("sslclient")
    assert "unsuitable certificate purpose" in verify("sslserver", fails=True)


def test_a_device_identity_is_only_for_a_key_that_is_proved_to_live_in_hardware(bureau: Bureau) -> None:
    with pytest.raises(ProfileRefused, match="the key is unproven") as caught:
        bureau.issue("device-identity", DEVICE)
    assert caught.value.reason is HARDWARE_REQUIRED
