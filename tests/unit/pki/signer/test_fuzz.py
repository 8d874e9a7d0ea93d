"""Invented input for the signer: certificates spliced together at random, and frames cut anywhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.signing import NAME, authority_certificate, key_identifier, leaf_tbs, spki_of, usage
from troth.kit.ids import new_id
from troth.pki import der
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.signer import handshake, protocol
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.certificate_rules import CertificateRules, parse_tbs, read_tbs
from troth.pki.signer.class_rules import Policy, ReservedNames, bounds_of
from troth.pki.signer.connection import Connection
from troth.pki.signer.errors import SignerRefused

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CA = spki_of(ec.generate_private_key(ec.SECP256R1()))
CONSTRAINTS = x509.NameConstraints([x509.DNSName("leaf.example")], None)
LIMITS = limits_from(authority_certificate(CA, NOW, constraints=CONSTRAINTS), CA, bounds_of((IssuerClass.OPEN,)), NOW)
RULES = CertificateRules(KeyAlgorithm.P256, LIMITS, {CA: None}.get, Policy(ReservedNames(["radius.leaf.example"])))


def _fields(tbs: bytes) -> list[bytes]:
    reader, parts = der.Reader(tbs).enter(der.SEQUENCE), []
    while not reader.empty:
        parts.append(reader.whole())
    return parts


def _extensions(tbs: bytes) -> list[bytes]:
    reader, parts = der.Reader(_fields(tbs)[-1]).enter(0xA3).enter(der.SEQUENCE), []
    while not reader.empty:
        parts.append(reader.whole())
    return parts


def _tbs(**changes: object) -> bytes:
    return leaf_tbs(CA, NOW, **changes)  # type: ignore[arg-type]


#: Good ones and bad ones: a splice takes each part from any of them.
SOURCES = [
    _tbs(),
    _tbs(names=[x509.DNSName("a.leaf.example"), x509.DNSName("*.leaf.example")]),
    _tbs(names=[x509.DNSName("radius.leaf.example")]),
    _tbs(names=[x509.DNSName("evil.example")], subject=NAME),
    _tbs(constraints=x509.BasicConstraints(True, None), key_usage=usage(sign_certificates=True, sign_crls=True)),
    _tbs(usages=[ExtendedKeyUsageOID.CODE_SIGNING], extra=[(x509.OCSPNoCheck(), False)]),
    _tbs(usages=[ExtendedKeyUsageOID.OCSP_SIGNING], lasts=timedelta(days=4000)),
    _tbs(issuer=x509.Name([]), spki=CA, authority=x509.AuthorityKeyIdentifier(b"x" * 20, None, None)),
]
FIELDS = [_fields(tbs) for tbs in SOURCES]
EXTENSIONS = sorted({one for tbs in SOURCES for one in _extensions(tbs)})


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """A TBSCertificate whose fields and extensions come from several."""
    parts = [draw(st.sampled_from([fields[place] for fields in FIELDS])) for place in range(7)]
    extensions = draw(st.lists(st.sampled_from(EXTENSIONS), max_size=9, unique=draw(st.booleans())))
    if draw(st.booleans()):
        parts[2:4] = FIELDS[0][2:4]  # else hardly one gets past the issuer
        extensions = list(dict.fromkeys([*_extensions(SOURCES[0])[:3], *extensions]))
    return der.sequence(*parts, der.explicit(3, der.sequence(*extensions)))


@given(spliced())
def test_whatever_is_spliced_together_passes_only_within_every_limit(tbs: bytes) -> None:
    try:
        RULES.check(tbs, NOW)
    except SignerRefused:
        return
    # Judged again, by other means than the rules'.
    found = parse_tbs(tbs, read_tbs(tbs).algorithm)
    extensions = found.extensions
    assert found.issuer == NAME
    authority = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == key_identifier(CA)
    usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH}
    assert not any(one.value.ca for one in extensions if isinstance(one.value, x509.BasicConstraints))
    signs = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (signs.key_cert_sign, signs.crl_sign) == (False, False)
    assert found.not_valid_after_utc - found.not_valid_before_utc < timedelta(days=398)
    names = [one for one in extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    for name in names[0].value.get_values_for_type(x509.DNSName) if names else []:
        assert name == "leaf.example" or name.endswith(".leaf.example")
        assert name not in ("radius.leaf.example", "*.leaf.example")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_reading_the_fields_of_any_bytes_ends_in_fields_or_one_kind_of_error(noise: bytes, at: int) -> None:
    good = SOURCES[0]
    for data in (noise, der.sequence(noise), good[:at] + noise, good[:at] + noise + good[at:]):
        try:
            fields = read_tbs(data)
        except SignerRefused:
            continue
        assert data.startswith(b"\x30")
        assert fields.spki in data


class _Transport(asyncio.Transport):
    """Keeps what is written, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert len(data) < 4096


SECRET = b"s" * 32


def _connection(taken: list[protocol.Request]) -> tuple[Connection, _Transport]:
    connection = Connection(
        {"web": SECRET}, frozenset(), admit=lambda _: True, take=lambda _, one: taken.append(one), gone=lambda _: None
    )
    transport = _Transport()
    connection._transport = transport
    return connection, transport


REQUEST = protocol.frame(protocol.Certify(1, "issuing-1", b"tbs", new_id()))
QUESTION = protocol.frame(protocol.ListKeys(2))


@given(
    st.lists(st.one_of(st.sampled_from([REQUEST, QUESTION]), st.binary(max_size=60)), max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
)
def test_without_a_proof_no_frame_becomes_a_request_however_it_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    taken: list[protocol.Request] = []
    connection, _ = _connection(taken)
    _feed(connection, b"".join(frames), cuts)
    assert taken == []
    assert len(connection._frames._buffer) <= protocol.MAX_HANDSHAKE + 4


@given(st.integers(0, 3), st.binary(max_size=60), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_after_a_proof_whole_frames_become_requests_and_the_first_bad_one_ends_the_connection(
    good: int, noise: bytes, cuts: list[int]
) -> None:
    taken: list[protocol.Request] = []
    connection, transport = _connection(taken)
    nonce = handshake.new_nonce()
    proof = protocol.Prove("web", nonce, handshake.client_proof(SECRET, "web", connection._nonce, nonce))
    bad = len(noise).to_bytes(4, "big") + b"\xc1" + noise[1:] if noise else b"\xff" * 4
    _feed(connection, protocol.frame(proof), cuts)  # a client says nothing more before it is welcomed
    _feed(connection, QUESTION * good + bad + REQUEST, cuts)
    # What came in one piece with a frame that is too large is dropped with it.
    assert [type(one) for one in taken] == [protocol.ListKeys] * min(good, len(taken))
    assert len(taken) == good or bad.startswith(b"\xff")
    assert transport.closing


def _feed(connection: Connection, data: bytes, cuts: list[int]) -> None:
    at = 0
    for turn in range(len(data)):
        if at >= len(data):
            return
        size = cuts[turn % len(cuts)]
        connection.data_received(data[at : at + size])
        at += size
