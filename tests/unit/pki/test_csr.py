from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pki.forge import Forge, spki
from troth.kit.errors import TrothError
from troth.pki import der
from troth.pki.csr import parse_csr, straightened
from troth.pki.errors import CsrRefused, KeyRefused, NameRefused
from troth.pki.keycheck import _ROCA, _check_rsa, check_spki

FORGE = Forge.make()


def _csr(key: object, names: list[x509.GeneralName] | None = None, cn: str | None = None, *, ca: bool = False) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn is not None else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    digest = None if {"Ed", "MLDSA"} & {type(key).__name__[:2], type(key).__name__[:5]} else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(FORGE.keys))
def test_a_request_gives_key_names_and_common_name(kind: str) -> None:
    request = parse_csr(_csr(FORGE.keys[kind], [x509.DNSName("B.example"), x509.DNSName("a.example")], "a.example"))
    assert request.key.kind == kind
    assert request.key.spki == spki(FORGE.keys[kind])
    assert request.names == (("dns", "a.example"), ("dns", "b.example"))
    assert request.common_name == "a.example"


def test_a_request_without_names_has_none() -> None:
    request = parse_csr(_csr(FORGE.keys["p256"]))
    assert (request.names, request.common_name) == ((), None)


def test_a_wrong_signature_is_refused() -> None:
    data = bytearray(_csr(FORGE.keys["ed25519"], [x509.DNSName("a.example")]))
    data[-1] ^= 1
    with pytest.raises(CsrRefused) as caught:
        parse_csr(bytes(data))
    assert caught.value.code == "pki.csr.signature"


def test_asking_for_a_ca_is_refused() -> None:
    with pytest.raises(CsrRefused) as caught:
        parse_csr(_csr(FORGE.keys["p256"], [x509.DNSName("a.example")], ca=True))
    assert caught.value.code == "pki.csr.ca_requested"


def test_oversized_and_overfull_requests_are_refused() -> None:
    with pytest.raises(CsrRefused):
        parse_csr(b"\x30" * 20_000)
    with pytest.raises(CsrRefused):
        parse_csr(_csr(FORGE.keys["p256"], [x509.DNSName(f"n{i}.example") for i in range(101)]))
    with pytest.raises(CsrRefused):
        parse_csr(_csr(FORGE.keys["p256"], [x509.DNSName(f"n{i}.example") for i in range(1000)]))


@pytest.mark.parametrize(
    "names",
    [
        [x509.DirectoryName(x509.Name([]))],
        [x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")],
        [x509.DNSName("xn--.example")],
        [x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))],
    ],
)
def test_names_that_troth_does_not_certify_are_refused(names: list[x509.GeneralName]) -> None:
    with pytest.raises(NameRefused):
        parse_csr(_csr(FORGE.keys["p256"], names))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 -- the weak key that must be refused
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP192R1()),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(public_exponent=3, key_size=2048),
    ],
)
def test_keys_of_other_kinds_and_sizes_are_refused(key: object) -> None:
    with pytest.raises((KeyRefused, CsrRefused)):
        parse_csr(_csr(key))


def test_weak_moduli_are_named() -> None:
    good = FORGE.keys["rsa2048"].public_key().public_numbers().n  # type: ignore[union-attr]
    for n, weakness in [(_with_small_factor(good), "small_factor"), (_close_primes(), "fermat"), (_roca(), "roca")]:
        with pytest.raises(KeyRefused) as caught:
            _check_rsa(rsa.RSAPublicNumbers(65537, n))
        assert caught.value.facts["weakness"] == weakness


def _with_small_factor(n: int) -> int:
    return (n // 751 | 1) * 751


def _close_primes() -> int:
    # Not primes, but odd neighbours without small factors: what Fermat's method sees is their distance.
    p = 2**1024 + 2**512 + 1
    while any(p % prime == 0 or (p + 2) % prime == 0 for prime in range(3, 752, 2)):
        p += 2
    return p * (p + 2)


def _roca() -> int:
    modulus = 1
    for prime, _ in _ROCA:
        modulus *= prime
    found = pow(65537, 12345, modulus) + modulus * (2**2047 // modulus + 1)
    while found % 2 == 0 or any(found % prime == 0 for prime in range(3, 752, 2)):
        found += modulus
    return found


def test_a_key_of_more_than_8192_bits_is_refused() -> None:
    with pytest.raises(KeyRefused):
        _check_rsa(rsa.RSAPublicNumbers(65537, 2**8192 + 1))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(TrothError):
        parse_csr(data)
    with pytest.raises(TrothError):
        check_spki(data)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_never_escapes_as_another_error(position: int, value: int) -> None:
    data = bytearray(_BASE)
    data[position % len(data)] = value
    try:
        parse_csr(bytes(data))
    except TrothError:
        pass


_BASE = _csr(FORGE.keys["p256"], [x509.DNSName("a.example")], "a.example")


def _reversed_attributes(data: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """``data`` with its attributes in the wrong order, signed so: as strongSwan writes requests."""
    outer = der.Reader(data).enter(der.SEQUENCE)
    info = outer.enter(der.SEQUENCE)
    head = [info.whole() for _ in range(3)]
    attributes = info.enter(0xA0)
    found = []
    while not attributes.empty:
        found.append(attributes.whole())
    assert len(found) > 1
    signed = der.sequence(*head, der.tlv(0xA0, b"".join(reversed(found))))
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return der.sequence(signed, outer.whole(), der.bits(signature))


def _with_two_attributes(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), False)
    builder = builder.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"x")
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_request_whose_attributes_are_in_the_wrong_order_is_read_and_verified_as_it_was_signed() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    data = _reversed_attributes(_with_two_attributes(key), key)
    with pytest.raises(ValueError, match="InvalidSetOrdering"):
        x509.load_der_x509_csr(data)  # the library alone does not read it
    assert parse_csr(data).names == (("dns", "a.example"),)
    with pytest.raises(CsrRefused):
        parse_csr(data + b"\x00")
    # Put in order it is not what was signed, and somebody else's signature is none.
    with pytest.raises(CsrRefused) as refused:
        parse_csr(straightened(data))
    assert refused.value.code == "pki.csr.signature"
    with pytest.raises(CsrRefused) as refused:
        parse_csr(_reversed_attributes(_with_two_attributes(key), ec.generate_private_key(ec.SECP256R1())))
    assert refused.value.code == "pki.csr.signature"


def _of_version(version: int, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request that says it is of this version, signed so: as Ruby's acme-client writes requests, with 2."""
    outer = der.Reader(_with_two_attributes(key)).enter(der.SEQUENCE)
    info = outer.enter(der.SEQUENCE)
    info.whole()
    signed = der.sequence(der.integer(version), info.rest())
    return der.sequence(signed, outer.whole(), der.bits(key.sign(signed, ec.ECDSA(hashes.SHA256()))))


@pytest.mark.parametrize("version", [1, 2])
def test_a_request_of_a_version_that_there_is_not_is_read_and_verified_as_it_was_signed(version: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    data = _of_version(version, key)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_csr(data)  # the library alone does not read it
    assert parse_csr(data).names == (("dns", "a.example"),)
    with pytest.raises(CsrRefused) as refused:
        parse_csr(straightened(data))
    assert refused.value.code == "pki.csr.signature"
    for odd in (3, -1, 1 << 70):
        with pytest.raises(CsrRefused) as refused:
            parse_csr(_of_version(odd, key))
        assert refused.value.code == "pki.csr.malformed"


@given(st.binary(max_size=400))
def test_straightening_refuses_whatever_is_no_request(data: bytes) -> None:
    try:
        straightened(data)
    except ValueError:
        pass


@pytest.mark.parametrize("kind", ["ed25519", "mldsa44", "p256", "rsa2048"])
def test_a_signature_under_the_name_of_another_kind_of_key_is_refused(kind: str) -> None:
    other = "rsa2048" if kind == "p256" else "p256"
    outer = der.Reader(_csr(FORGE.keys[kind], [x509.DNSName("a.example")])).enter(der.SEQUENCE)
    named = der.Reader(_csr(FORGE.keys[other])).enter(der.SEQUENCE)
    info, _, _ = outer.whole(), outer.whole(), named.whole()
    with pytest.raises(CsrRefused) as refused:
        parse_csr(der.sequence(info, named.whole(), outer.rest()))
    assert refused.value.code == "pki.csr.signature"
