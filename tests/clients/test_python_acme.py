"""The library under certbot, and acme-tiny: two further readers of the same protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.clients.conftest import Client
from troth.client.csr import certificate_request

pytestmark = pytest.mark.client


def test_the_acme_library_obtains_renews_and_revokes(client: Client) -> None:
    acme_client = pytest.importorskip("acme.client")
    challenges, messages = pytest.importorskip("acme.challenges"), pytest.importorskip("acme.messages")
    jose = pytest.importorskip("josepy")
    key = jose.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    network = acme_client.ClientNetwork(key, alg=jose.ES256, verify_ssl=str(client.troth.root))
    directory = acme_client.ClientV2.get_directory(client.troth.directory, network)
    acme = acme_client.ClientV2(directory, network)
    acme.new_account(messages.NewRegistration.from_data(email="acme@example.org", terms_of_service_agreed=True))
    chain = client.home / "chain.pem"
    serials = set()
    for _ in ("obtain", "renew"):
        csr = x509.load_der_x509_csr(certificate_request(ec.generate_private_key(ec.SECP256R1()), dns=["acme.test"]))
        order = acme.new_order(csr.public_bytes(Encoding.PEM))
        for authz in order.authorizations:
            [body] = [one for one in authz.body.challenges if isinstance(one.chall, challenges.HTTP01)]
            response, validation = body.response_and_validation(key)
            client.troth.web_root.tokens[body.chall.encode("token")] = validation
            if authz.body.status == messages.STATUS_PENDING:
                acme.answer_challenge(body, response)
        chain.write_text(acme.poll_and_finalize(order).fullchain_pem)
        leaf = client.judge(chain, "acme.test")
        serials.add(leaf.serial_number)
    assert len(serials) == 2
    acme.revoke(leaf, 1)
    assert client.revoked(leaf, chain) == "keyCompromise"
    acme.deactivate_registration(network.account)


def test_acme_tiny_obtains(client: Client) -> None:
    account, request = client.home / "account.key", client.home / "request.pem"
    account.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    der = certificate_request(ec.generate_private_key(ec.SECP256R1()), dns=["tiny.test"], common_name="tiny.test")
    request.write_bytes(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM))
    said = client.run(
        "acme-tiny", "--quiet", "--account-key", account, "--csr", request, "--acme-dir",
        client.troth.web_root.challenge_directory, "--directory-url", client.troth.directory, "--disable-check",
        environment={"SSL_CERT_FILE": str(client.troth.root)},
    )  # fmt: skip
    chain: Path = client.home / "chain.pem"
    chain.write_text(said[said.index("-----BEGIN") :])
    client.judge(chain, "tiny.test")


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
