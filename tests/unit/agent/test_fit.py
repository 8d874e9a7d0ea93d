"""Nothing is installed that is not what was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agents import Root, root
from tests.support.clocks import START
from troth.agent.config import identifiers
from troth.agent.errors import UNFIT, AgentError
from troth.agent.fit import Expected, check, names_of, read_chain
from troth.client.jose import PublicKey

KEY: PublicKey = ec.derive_private_key(7, ec.SECP256R1()).public_key()
OTHER: PublicKey = ec.derive_private_key(8, ec.SECP256R1()).public_key()
NAMES = ["www.example.org", "192.0.2.7"]


def expected(
    *names: str, key: PublicKey = KEY, now: datetime = START, purposes: tuple[str, ...] = (), anchors: bytes = b""
) -> Expected:
    return Expected(key, identifiers(names or tuple(NAMES)), purposes, anchors or root().pem, now)


def refusal(pem: bytes, wanted: Expected) -> AgentError:
    with pytest.raises(AgentError) as refused:
        check(pem, wanted)
    assert refused.value.reason is UNFIT
    return refused.value


def test_what_was_asked_for_fits() -> None:
    leaf = root().issue(KEY, NAMES, START)
    assert names_of(check(leaf, expected(purposes=("server",)))[0]) == set(NAMES)
    assert check(leaf + root().pem, expected())
    assert check(leaf, expected("WWW.example.org"))


def test_a_device_has_no_name_that_is_looked_for() -> None:
    leaf = root().issue(KEY, [], START, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert check(leaf, expected("permanent-identifier:A1", purposes=("client",)))


@pytest.mark.parametrize(
    ("pem", "wanted", "told"),
    [
        (root().issue(OTHER, NAMES, START), expected(), "its key is another one"),
        (root().issue(KEY, ["b.example.org"], START), expected(), "not for 192.0.2.7, www.example.org; it is for b.ex"),
        (root().issue(KEY, [], START), expected(), "it is not for"),
        (root().issue(KEY, NAMES, START + timedelta(minutes=6)), expected(), "it begins 2026-03-02 09:06"),
        (root().issue(KEY, NAMES, START), expected(now=START + timedelta(days=90)), "it ended"),
        (root().issue(KEY, NAMES, START), expected(purposes=("client",)), "not for a client: 1.3.6.1.5.5.7.3.1"),
        (Root().issue(KEY, NAMES, START), expected(), "does not lead to a trusted root"),
        (b"", expected(), "no chain"),
        (b"\xff", expected(), "no chain"),
        (root().issue(KEY, NAMES, START) + root().pem * 10, expected(), "has 11 certificates"),
        (root().issue(KEY, NAMES, START), expected(anchors=b"nothing"), "no root"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_not_asked_for_is_told(pem: bytes, wanted: Expected, told: str) -> None:
    assert told in refusal(pem, wanted).detail


def test_only_a_certificate_that_is_too_early_is_worth_waiting_for() -> None:
    early = root().issue(KEY, NAMES, START + timedelta(hours=1))
    assert refusal(early, expected()).facts == {"early": True}
    assert check(root().issue(KEY, NAMES, START + timedelta(minutes=4)), expected()), "a clock may be a little behind"
    assert refusal(root().issue(OTHER, NAMES, START), expected()).facts == {}


def test_a_leaf_that_is_no_authority_signs_nothing() -> None:
    middle = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(root().issue(middle.public_key(), ["ca.example.org"], START))
    san = x509.SubjectAlternativeName([x509.DNSName("www.example.org")])
    builder = x509.CertificateBuilder(issuer.subject, x509.Name([]), KEY, x509.random_serial_number())
    builder = builder.not_valid_before(START).not_valid_after(START + timedelta(days=1)).add_extension(san, True)
    forged = builder.sign(middle, hashes.SHA256()).public_bytes(Encoding.PEM)

    told = refusal(forged + issuer.public_bytes(Encoding.PEM), expected("www.example.org")).detail
    assert "trusted root" in told


@given(st.binary(max_size=400), st.integers(0, 2000), st.integers(0, 255))
def test_any_bytes_are_a_chain_or_refused(junk: bytes, place: int, octet: int) -> None:
    changed = bytearray(root().pem)
    changed[place % len(changed)] = octet
    for pem in (junk, bytes(changed)):
        try:
            read_chain(pem)
        except AgentError:
            continue
