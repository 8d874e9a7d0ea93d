"""OCSP bytes against cryptography: requests it builds are read, answers it builds are equal to ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.mint import ca_certificate
from tests.unit.pki.forge import NOW, Forge, spki
from troth.pki import algorithms, der, ocsp
from troth.pki.errors import OcspMalformed
from troth.pki.model import SerialStatus
from troth.pki.serial import SerialNumber, new_serial

FORGE = Forge.make()
ISSUER, ISSUER_KEY = FORGE.authorities["p256"]
SERIAL = new_serial(NOW)


def _leaf(profile: str, kind: str = "p384", serial: SerialNumber = SERIAL) -> x509.Certificate:
    template = FORGE.template(profile)
    begin, end = template.validity(NOW)
    names = () if profile == "ocsp-responder" else (("dns", "a.example"),)
    tbs = template.tbs(
        serial=serial,
        spki=spki(FORGE.keys[kind]),
        names=names,
        common_name=None if names else "OCSP",
        not_before=begin,
        not_after=end,
    )
    der_ = template.certificate(tbs, algorithms.sign_with(ISSUER_KEY, tbs))
    return x509.load_der_x509_certificate(der_)


LEAF = _leaf("tls-server")
RESPONDERS = {kind: _leaf("ocsp-responder", kind, new_serial(NOW)) for kind in ("p256", "p384", "rsa2048")}


def _writer(kind: str) -> ocsp.ResponseWriter:
    certificate = RESPONDERS[kind].public_bytes(serialization.Encoding.DER)
    return ocsp.ResponseWriter(certificate, lambda data: algorithms.sign_with(FORGE.keys[kind], data))


def _request(algorithm: hashes.HashAlgorithm, nonce: bytes | None = None) -> bytes:
    builder = reference.OCSPRequestBuilder().add_certificate(LEAF, ISSUER, algorithm)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])
@pytest.mark.parametrize("nonce", [None, b"n", b"x" * 32])
def test_requests_of_cryptography_are_read(algorithm: hashes.HashAlgorithm, nonce: bytes | None) -> None:
    request = ocsp.parse_request(_request(algorithm, nonce))
    assert request.nonce == nonce
    assert [cert_id.serial for cert_id in request.cert_ids] == [SERIAL]
    assert ocsp.IssuerIds(ISSUER).match(request.cert_ids[0])
    assert not ocsp.IssuerIds(FORGE.authorities["p384"][0]).match(request.cert_ids[0])


def test_our_own_requests_are_read_by_cryptography() -> None:
    parsed = reference.load_der_ocsp_request(ocsp.build_request(SERIAL, ISSUER, nonce=b"12345678"))
    assert parsed.serial_number == LEAF.serial_number
    assert parsed.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"12345678"


@pytest.mark.parametrize("nonce", [b"", b"x" * 33, b"x" * 128])
def test_nonces_of_wrong_length_are_malformed(nonce: bytes) -> None:
    with pytest.raises(OcspMalformed):
        ocsp.parse_request(_request(hashes.SHA256(), nonce))


@settings(max_examples=120, deadline=None)
@given(
    status=st.sampled_from(["good", "revoked", "unknown"]),
    reason=st.sampled_from([None, 1, 3, 4, 5, 6, 9]),
    nonce=st.none() | st.binary(min_size=1, max_size=32),
    sha1=st.booleans(),
    kind=st.sampled_from(sorted(RESPONDERS)),
    at=st.integers(0, 900_000_000).map(lambda age: NOW.replace(microsecond=0) + timedelta(seconds=age)),
    life=st.integers(1, 10**6),
)
def test_answers_are_byte_equal_to_the_builder(
    status: str, reason: int | None, nonce: bytes | None, sha1: bool, kind: str, at: datetime, life: int
) -> None:
    algorithm: hashes.HashAlgorithm = hashes.SHA1() if sha1 else hashes.SHA256()
    flags = {
        1: "key_compromise",
        3: "affiliation_changed",
        4: "superseded",
        5: "cessation_of_operation",
        6: "certificate_hold",
        9: "privilege_withdrawn",
    }
    builder = (
        reference.OCSPResponseBuilder()
        .add_response(
            cert=LEAF,
            issuer=ISSUER,
            algorithm=algorithm,
            cert_status={
                "good": reference.OCSPCertStatus.GOOD,
                "revoked": reference.OCSPCertStatus.REVOKED,
                "unknown": reference.OCSPCertStatus.UNKNOWN,
            }[status],
            this_update=at,
            next_update=at + timedelta(seconds=life),
            revocation_time=at if status == "revoked" else None,
            revocation_reason=x509.ReasonFlags[flags[reason]] if status == "revoked" and reason else None,
        )
        .responder_id(reference.OCSPResponderEncoding.HASH, RESPONDERS[kind])
        .certificates([RESPONDERS[kind]])
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    digest = hashes.SHA384() if kind == "p384" else hashes.SHA256()
    theirs = builder.sign(FORGE.keys[kind], digest)
    verdict = ocsp.Verdict(status, at if status == "revoked" else None, reason)  # type: ignore[arg-type]
    request = ocsp.parse_request(_request(algorithm, nonce))
    encoded = _writer(kind).response(
        [(request.cert_ids[0], verdict)],
        nonce=request.nonce,
        produced_at=theirs.produced_at_utc,
        this_update=at,
        next_update=at + timedelta(seconds=life),
    )
    ours = reference.load_der_ocsp_response(encoded)
    assert ours.tbs_response_bytes == theirs.tbs_response_bytes
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    assert ours.certificates == theirs.certificates
    key = RESPONDERS[kind].public_key()
    assert isinstance(key, algorithms.PublicKey)
    algorithms.verify(key, ours.signature, ours.tbs_response_bytes)


def _status(**changes: object) -> SerialStatus:
    values: dict[str, object] = {
        "serial": SERIAL,
        "state": "issued",
        "status": "good",
        "status_at": NOW,
        "reason": None,
        "not_after": NOW,
    }
    return SerialStatus(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "unknown"),
        (_status(), "good"),
        (_status(state="reserved"), "unknown"),
        (_status(state="reserved", status="held", reason=6), "revoked"),
        (_status(status="held", reason=6), "revoked"),
        (_status(status="revoked", reason=0), "revoked"),
        (_status(state="burnt", status="revoked", reason=5), "revoked"),
    ],
)
def test_good_is_told_of_issued_serials_only(found: SerialStatus | None, told: str) -> None:
    assert ocsp.verdict_of(found).status == told


def _answered(request: bytes, statuses: dict[bytes, SerialStatus]) -> bytes:
    return ocsp.answer(
        _writer("p256"),
        ocsp.parse_request(request),
        ocsp.IssuerIds(ISSUER),
        statuses,
        now=NOW,
        next_update=NOW + timedelta(seconds=5),
    )


def test_an_answer_tells_the_row_and_echoes_the_nonce() -> None:
    held = {bytes(SERIAL): _status(status="held", reason=6)}
    response = reference.load_der_ocsp_response(_answered(_request(hashes.SHA256(), b"nonce-nonce"), held))
    assert response.certificate_status is reference.OCSPCertStatus.REVOKED
    assert response.revocation_reason is x509.ReasonFlags.certificate_hold
    assert response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"nonce-nonce"
    assert response.next_update_utc is not None
    assert response.next_update_utc - response.this_update_utc == timedelta(seconds=5)


def test_several_certificates_are_answered_in_order_and_foreign_ones_unknown() -> None:
    mine = ocsp.parse_request(_request(hashes.SHA256())).cert_ids[0]
    other = ocsp.parse_request(ocsp.build_request(SERIAL, FORGE.authorities["p384"][0])).cert_ids[0]
    requests = der.sequence(*(der.sequence(cert_id.encoded) for cert_id in (other, mine)))
    encoded = _answered(der.sequence(der.sequence(requests)), {bytes(SERIAL): _status()})
    statuses = [single.certificate_status for single in reference.load_der_ocsp_response(encoded).responses]
    assert statuses == [reference.OCSPCertStatus.UNKNOWN, reference.OCSPCertStatus.GOOD]


def test_a_request_about_others_only_is_unauthorized() -> None:
    assert _answered(ocsp.build_request(SERIAL, FORGE.authorities["p384"][0]), {}) == ocsp.UNAUTHORIZED


@pytest.mark.parametrize(
    ("encoded", "status"),
    [
        (ocsp.MALFORMED_REQUEST, reference.OCSPResponseStatus.MALFORMED_REQUEST),
        (ocsp.INTERNAL_ERROR, reference.OCSPResponseStatus.INTERNAL_ERROR),
        (ocsp.TRY_LATER, reference.OCSPResponseStatus.TRY_LATER),
        (ocsp.UNAUTHORIZED, reference.OCSPResponseStatus.UNAUTHORIZED),
    ],
)
def test_unsigned_answers_are_what_they_are_named(encoded: bytes, status: reference.OCSPResponseStatus) -> None:
    assert reference.load_der_ocsp_response(encoded).response_status is status


def test_too_many_and_too_long_are_malformed() -> None:
    one = der.sequence(ocsp.parse_request(_request(hashes.SHA1())).cert_ids[0].encoded)
    full = der.sequence(der.sequence(der.sequence(one * 16)))
    assert len(ocsp.parse_request(full).cert_ids) == 16
    for bad in (der.sequence(der.sequence(der.sequence(one * 17))), b"\x30" * 5000, b"", full + b"\x00", full[:-1]):
        with pytest.raises(OcspMalformed):
            ocsp.parse_request(bad)


@pytest.mark.parametrize("parameters", [b"\x05\x01\x00", b"\x02\x01\x01", b"\x05\x00\x05\x00"])
def test_a_cert_id_that_a_strict_reader_would_refuse_in_the_answer_is_malformed(parameters: bytes) -> None:
    cert_id = ocsp.parse_request(ocsp.build_request(SERIAL, ISSUER)).cert_ids[0]
    fields = der.Reader(cert_id.encoded).enter(der.SEQUENCE)
    sha256 = fields.enter(der.SEQUENCE).whole()
    rest = [fields.whole() for _ in range(3)]

    def request(algorithm: bytes, serial: bytes) -> bytes:
        made = der.sequence(der.sequence(algorithm), *rest[:2], der.tlv(der.INTEGER, serial))
        return der.sequence(der.sequence(der.sequence(der.sequence(made))))

    assert ocsp.parse_request(request(sha256 + der.NULL_VALUE, SERIAL)).cert_ids[0].serial == SERIAL
    for body in (request(sha256 + parameters, SERIAL), request(sha256, b"\x00\x01"), request(sha256, b"")):
        with pytest.raises(OcspMalformed):
            ocsp.parse_request(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    try:
        ocsp.parse_request(data)
    except OcspMalformed:
        pass


@settings(max_examples=300)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_is_read_or_malformed(position: int, value: int) -> None:
    data = bytearray(_request(hashes.SHA256(), b"nonce"))
    data[position % len(data)] = value
    try:
        ocsp.parse_request(bytes(data))
    except OcspMalformed:
        pass


def test_a_responder_of_another_kind_is_refused() -> None:
    assert isinstance(ISSUER_KEY, ec.EllipticCurvePrivateKey)
    with pytest.raises(ValueError, match="parsing"):
        ocsp.ResponseWriter(b"\x30\x00", lambda data: data)


def test_an_answer_about_an_expired_certificate_says_since_when_status_is_kept() -> None:
    now, since = datetime(2026, 6, 1, tzinfo=UTC), datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca_certificate(key, "Archive", now)
    request = ocsp.parse_request(ocsp.build_request(b"\x41" * 16, issuer))
    writer = ocsp.ResponseWriter(
        issuer.public_bytes(serialization.Encoding.DER), lambda data: algorithms.sign_with(key, data)
    )
    for archive in (since, None):
        answers = [(request.cert_ids[0], ocsp.Verdict("good", archive=archive))]
        encoded = writer.response(answers, nonce=None, produced_at=now, this_update=now, next_update=now)
        single = next(iter(reference.load_der_ocsp_response(encoded).responses))
        assert single.certificate_status is reference.OCSPCertStatus.GOOD
        assert (b"20200102030405Z" in encoded) is (archive is not None)
    parsed = reference.load_der_ocsp_response(
        writer.response(
            [(request.cert_ids[0], ocsp.Verdict("good", archive=since))],
            nonce=None, produced_at=now, this_update=now, next_update=now,
        )
    )  # fmt: skip
    (told,) = parsed.single_extensions
    assert (told.oid.dotted_string, told.critical) == ("1.3.6.1.5.5.7.48.1.6", False)
    assert told.value.value == b"\x18\x0f20200102030405Z"  # type: ignore[attr-defined]
