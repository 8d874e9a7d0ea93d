"""EST's bodies both ways, and what is read of a request."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.est import request_of
from tests.support.mint import ca_certificate
from troth.enroll.est.attributes import csr_attributes
from troth.enroll.est.body import certs_only, decoded, encoded
from troth.enroll.est.errors import KEYGEN_UNSUPPORTED, EstRefused
from troth.enroll.est.keygen import with_made_key
from troth.enroll.est.request import bound, read_request, serial_number_of
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError
from troth.pki import der
from troth.pki.profile import parse_profile, shipped_profiles

KEY = ec.generate_private_key(ec.SECP256R1())


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["", "\n", "\r\n", " ", "\t\r\n"]), st.integers(1, 80))
def test_base64_comes_back_whatever_white_space_is_in_it(data: bytes, space: str, width: int) -> None:
    text = encoded(data).decode().rstrip()
    lines = space.join(text[at : at + width] for at in range(0, len(text), width))
    assert decoded(f"{space}{lines}{space}".encode()) == data


@given(st.binary(max_size=200))
def test_a_body_is_read_or_refused(data: bytes) -> None:
    for read in (decoded, read_request):
        try:
            read(data)
        except TrothError:
            pass


def test_a_certs_only_message_is_der_that_others_read() -> None:
    made = [ca_certificate(KEY, name, SystemClock().now()) for name in ("c", "a", "b")]
    message = certs_only(one.public_bytes(Encoding.DER) for one in made)
    assert set(load_der_pkcs7_certificates(message)) == set(made)  # warns, and so fails, if it is no DER


def test_the_name_that_a_request_asks_for_may_stand_in_its_subject() -> None:
    for common, names in (
        ("Host.Corp.Example", (("dns", "host.corp.example"),)),
        ("192.0.2.1", (("ip", "192.0.2.1"),)),
        ("A printer", ()),
    ):
        assert read_request(base64.b64encode(request_of(KEY, common_name=common))).names == names
    both = read_request(base64.b64encode(request_of(KEY, "a.example", common_name="b.example")))
    assert both.names == (("dns", "a.example"),)


def test_a_serial_number_is_one_and_short() -> None:
    def of(*values: str) -> str | None:
        name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, one) for one in values])
        now = SystemClock().now()
        builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1).not_valid_before(now).not_valid_after(now)
        return serial_number_of(builder.sign(KEY, hashes.SHA256()))

    assert of("SN-1") == "SN-1"
    assert of() is None
    assert of("SN-1", "SN-2") is None


def test_a_key_is_made_of_the_kind_that_the_request_has() -> None:
    request = read_request(base64.b64encode(request_of(KEY, "a.example")))
    made, private = with_made_key(request)
    assert made.key.key.kind == "p256"
    assert made.key.key.spki != request.key.key.spki
    assert made.der != request.der
    assert private
    wrapped = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    # DecryptKeyIdentifier (RFC 7030, 4.4.1.1): whoever asks for wrapping gets it or an error.
    oid = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.37")
    wrapped = wrapped.add_attribute(oid, b"\x01")
    asked = read_request(base64.b64encode(wrapped.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)))
    with pytest.raises(EstRefused) as refused:
        with_made_key(asked)
    assert refused.value.reason is KEYGEN_UNSUPPORTED


def test_a_challenge_that_is_no_base64_binds_nothing() -> None:
    request = read_request(base64.b64encode(request_of(KEY, "a.example", challenge="schön".encode())))
    with pytest.raises(EstRefused):
        bound(request, b"\x00" * 12, "verify")
    bound(request, b"\x00" * 12, "ignore")


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_every_profile_has_attributes_in_der(name: str) -> None:
    profile = parse_profile(shipped_profiles()[name])
    reader = der.Reader(csr_attributes(profile, "require"))
    inner = reader.enter(der.SEQUENCE)
    reader.close()
    while not inner.empty:
        inner.whole()
