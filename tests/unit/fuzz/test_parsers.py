"""Every parser that takes bytes from outside: an answer or a typed refusal, never anything else.

One table. ``make fuzz`` runs it with a budget of its own; in the suite it is short and always the same. A parser is
fed what is nothing at all, and what was sound until something in it was changed, doubled or cut.
"""

from __future__ import annotations

import json
import os
import random
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts import golden_lint
from troth.access.approvals.rule import parse_rule
from troth.agent import config as agent
from troth.agent.fit import read_chain
from troth.audit.note import CheckpointText, NoteKey
from troth.audit.verify import verify_export
from troth.client import est as est_client
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey, b64url_decode, b64url_encode
from troth.client.renewal import parse_cert_id, parse_renewal_info
from troth.client.transport import HttpAnswer
from troth.connect.authz.authzen import _several
from troth.connect.authz.certificates import shown
from troth.connect.effects import vici
from troth.connect.webhook import body as webhook
from troth.enroll.acme.binding import read_binding
from troth.enroll.acme.flattened import Flattened
from troth.enroll.acme.identifiers import read_identifiers
from troth.enroll.acme.pausing import Patience, Pausing
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.revoke import read_certificate
from troth.enroll.acme.validate import beside
from troth.enroll.acme.validate.dns_quick import question, read_answer
from troth.enroll.acme.validate.issue_value import parse_issue_value
from troth.enroll.acme.validate.outcome import Challenge as Asked
from troth.enroll.acme.vantage import wire
from troth.enroll.attest import cbor
from troth.enroll.attest.anchors import read_roots, shipped_roots
from troth.enroll.attest.android import DESCRIPTION
from troth.enroll.attest.android_description import as_json, read_description
from troth.enroll.attest.examine import examine
from troth.enroll.attest.leaf import extensions
from troth.enroll.attest.model import Known
from troth.enroll.attest.statement import read_any
from troth.enroll.attest.statuses import read_statuses
from troth.enroll.attest.told import attestation_report
from troth.enroll.est.body import certs_only
from troth.enroll.est.callers import read_basic
from troth.enroll.est.request import read_request
from troth.enroll.tpm.endorsement import make_of, read_certificates, read_endorsement_key
from troth.enroll.tpm.registry import endorsement_of, read_csv
from troth.enroll.tpm.routes import read_attest_request
from troth.kit.canonical import canonical_json
from troth.kit.clock import FakeClock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.kit.sealing import SecretBox
from troth.pki import der, ocsp
from troth.pki.attributes import parse_attributes
from troth.pki.blocked import PROOF_NAME, read_key, read_proof
from troth.pki.crl_lint import crl_findings
from troth.pki.csr import parse_csr
from troth.pki.jwt_svid import read_claims
from troth.pki.keycheck import check_spki
from troth.pki.lint_file import lint_file
from troth.pki.names import canonical_name
from troth.pki.profile import parse_profile, shipped_profiles
from troth.pki.sid import canonical_sid, read_sid_extension
from troth.pki.signer import acts
from troth.pki.signer.certificate_rules import read_tbs
from troth.pki.signer.protocol import Frames, FrameTooLarge, Health, decode_request, frame
from troth.tpm import structures
from troth.trust.authoring.examples import run_tests
from troth.trust.connecting.journal import Entry, framed
from troth.trust.connecting.journal import read as read_journal
from troth.trust.outbox.reactions import parse_reactions
from troth.trust.outbox.reactions import shipped as reactions_text
from troth.trust.policy.compiled import Policy
from troth.trust.policy.grammar import parse_policy
from troth.trust.standings.grammar import parse_rules, shipped_text
from troth.trust.subjects.directory import parse_directory
from troth.web.books.enrolments import _place
from troth.web.pages.admitting import certificates_in, crl_in

EXAMPLES = int(os.environ.get("TROTH_FUZZ_EXAMPLES", "60"))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
_VECTORS = Path(__file__).parents[2] / "vectors" / "attest"
_POLICIES = Path(golden_lint.__file__).resolve().parents[1] / "src/troth/trust/policies"


@lru_cache(maxsize=1)
def request() -> bytes:
    """A sound PKCS#10 request, which is also a proof."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PROOF_NAME)])
    key = ec.derive_private_key(golden_lint._SECRET, ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(name)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER)


def walk(data: bytes) -> None:
    """Every element, however deep."""
    pending = [der.Reader(data)]
    for _ in range(2000):
        if not pending:
            return
        reader = pending.pop()
        while not reader.empty:
            tag = reader.peek()
            if tag is not None and tag & 0x20:
                pending.append(reader.enter(tag))
            elif tag == der.OID:
                der.read_oid(reader.read(tag))
            elif tag == der.INTEGER:
                der.read_integer(reader.read(tag))
            else:
                reader.whole()


def frames(data: bytes) -> None:
    """What comes over the signer's socket, in two pieces."""
    reader = Frames(65_536)
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        list(reader.feed(part))


def from_json(parse: Callable[[object], object]) -> Callable[[bytes], object]:
    """A parser of what JSON holds, for bytes."""

    def parsed(data: bytes) -> object:
        try:
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return parse(value)

    return parsed


def export(data: bytes) -> None:
    """A ledger export."""
    path = Path(os.environ["PYTEST_FUZZ_FILE"])
    path.write_bytes(data)
    verify_export(path)


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text, for bytes: what is no UTF-8 is read as Latin-1, so that odd characters come through, too."""

    def parsed(data: bytes) -> object:
        try:
            return parse(data.decode())
        except UnicodeDecodeError:
            return parse(data.decode("latin-1"))

    return parsed


def documents(*texts: str) -> list[bytes]:
    """Seeds."""
    return [one.encode() for one in texts]


def attestation(data: bytes) -> None:
    """A statement, with every check that can be made of it."""
    statement = read_any(data)
    known = Known(at=NOW, key_authorization="a.b", identifiers=frozenset({("permanent-identifier", "x")}))
    canonical_json(attestation_report(examine(statement, known, shipped_roots())))


def attestations() -> list[bytes]:
    """Statements of real and of simulated devices."""
    swtpm = msgspec.json.decode((_VECTORS / "swtpm/cases.json").read_bytes())["cases"]["ok_base"]["attObj"]
    yubikey = [
        (_VECTORS / "yubikey-piv/25515003" / name).read_bytes()
        for name in ("Slot9CAttestation.pem", "SlotF9Intermediate.pem")
    ]
    phone = (_VECTORS / "android-keyattestation/testdata/tegu/sdk36/TEE_EC_2026_ROOT.pem").read_bytes()
    mac = (_VECTORS / "nanoca-apple/apple_mda_leaf.pem").read_bytes()
    return [b64url_decode(swtpm), swtpm.encode(), b"".join(yubikey), phone, mac]


_SIGNAL = (
    b'{"kind":"edr.contained","subject":{"kind":"device","name":"laptop-1"},"observed_at":"2026-06-01T00:00:00Z",'
    b'"severity":70,"confidence":90,"expires_at":"2026-07-01T00:00:00Z","sequence":"7","fields":{"a":1}}'
)
_SIGNAL_BY_CERTIFICATE = (
    b'{"kind":"edr.alert","subject":{"certificate":{"issuer":"CN=a,O=b","serial":"4018aa"}},'
    b'"observed_at":"2026-06-01T00:00:00Z"}'
)
_NOTE_KEY = "troth.example+1234abcd+AQECAwQ="
_CHECKPOINT = "troth.example/ledger\n17\nqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n"
_XFCC = f'By=spiffe://a/b;Hash={"ab" * 32};Subject="CN=x,O=\\"a;b\\"";URI=,Hash={"cd" * 32}'.encode()
_ESCAPED = b"-----BEGIN%20CERTIFICATE-----%0AMIIB%0A-----END%20CERTIFICATE-----%0A"
_AUTHZEN = (
    b'{"subject":{"type":"user","id":"a"},"action":{"name":"read"},"resource":{"type":"r","id":"1"},'
    b'"evaluations":[{"context":{"address":"192.0.2.1"}}],"options":{"evaluations_semantic":"execute_all"}}'
)
_ENTRY = Entry(1, "application:vpn", ("application:vpn",), msgspec.Raw(b'{"id":1}'), msgspec.Raw(b'{"at":"now"}'))


@lru_cache(maxsize=1)
def _device_policy() -> Policy:
    return parse_policy((_POLICIES / "client-device.yaml").read_text())


def _policy_tests() -> bytes:
    _, _, tests = _device_policy().source.partition("\ntests:")
    return f"policy: client-device\ntests:{tests}".encode()


_POLICY = documents(*(path.read_text() for path in sorted(_POLICIES.glob("*.yaml"))))
_DIRECTORY = documents("users:\n  - {name: alice, enabled: true, groups: [a]}\ndevices:\n  - {name: x, owner: alice}\n")
_AGENT = """[issuer.a]
directory = "https://a.example/directory"
[certificate.web]
names = ["www.a.example", "192.0.2.7"]
output = [{ form = "key", path = "/etc/web.key" }]
"""
_RULE = documents("rules:\n  - {kinds: [key.block], approvals: 1, roles: [administrator], above: 5}\n")

Refusals = tuple[type[Exception], ...]
#: Name → parser, what it may raise, seeds that it takes (or nearly).
PKCS7 = {"content-type": ("application/pkcs7-mime",)}
PARSERS: dict[str, tuple[Callable[[bytes], object], Refusals, Callable[[], list[bytes]]]] = {
    "der": (walk, (der.DerError,), lambda: [request(), golden_lint.crl(), golden_lint.certificate()]),
    "vantage question": (
        wire.read_question, (wire.QuestionRefused,),
        lambda: [
            b'{"to":"a","id":"b","at":1.5,"budget":5,"challenge":{"type":"http-01","identifier":{"type":"dns",'
            b'"value":"a.test"},"token":"t","key_authorization":"t.k"}}',
            b'{"to":"a","id":"b","at":1,"budget":5,"caa":{"name":"a.test","wildcard":false,"account_uri":"","method":""}}',
        ],
    ),
    "vantage answer": (
        lambda data: wire.outcome(wire.read_seen(data)), (ValueError,),
        lambda: [b'{"valid":false,"at":1,"version":"1","reason":"acme.validation.dns","record":[["a",null,"b"]]}'],
    ),
    "vici message": (vici.decode, (vici.ViciError,), lambda: [vici.encode({"a": "b", "s": {"l": ["x", "y"]}})]),
    "vici packet": (vici.parse_packet, (vici.ViciError,), lambda: [b"\x07\x07list-sa\x03\x01a\0\1b", b"\x01"]),
    "reactions": (
        lambda data: parse_reactions(data.decode("latin-1")), (TrothError,), lambda: [reactions_text().encode()]
    ),
    "validation question": (
        beside.read_question, (beside.Unreadable,),
        lambda: [msgspec.msgpack.encode(Asked("http-01", Identifier("dns", "a.test"), "t", "t.k"))],
    ),
    "validation frames": (
        lambda data: list(beside.Frames().feed(data)), (beside.Unreadable,),
        lambda: [beside.frame(1, b"abc") + beside.frame(2, b"")],
    ),
    "dns answer": (
        lambda data: read_answer(data, question("a.test", 1) or b"", 1), (),
        lambda: [
            bytes.fromhex("1234818000010002000000000161047465737400" "00010001" "c00c00010001000000010004c0000201"
                          "c00c00010001000000010004c0000202"),
        ],
    ),
    "token claims": (
        lambda data: read_claims(data, NOW), (ValueError,),
        lambda: [
            b'{"aud":["db"],"exp":1780272300,"iat":1780272000,"jti":"a","sub":"spiffe://corp.example/shop"}',
        ],
    ),
    "csr": (parse_csr, (TrothError,), lambda: [request()]),
    "est request": (lambda data: read_request(b64encode(data)), (TrothError,), lambda: [request()]),
    "est body": (read_request, (TrothError,), lambda: [b64encode(request())]),
    "est answer": (
        lambda data: est_client.read_certificates(HttpAnswer(200, PKCS7, data, "")),
        (TrothError,), lambda: [b64encode(certs_only([golden_lint.certificate()]))],
    ),
    "basic credentials": (
        lambda data: read_basic(data.decode("latin-1")), (TrothError,), lambda: [b"Basic dXNlcjpwYXNzd29yZA=="]
    ),
    "spki": (
        check_spki, (TrothError,),
        lambda: [golden_lint.SPKI, golden_lint._rsa(65537, golden_lint._modulus(2048))],
    ),
    "proof": (read_proof, (TrothError,), lambda: [request()]),
    "any key": (read_key, (TrothError,), lambda: [golden_lint.SPKI, request(), golden_lint.certificate(), b"ab" * 32]),
    "lint": (
        lint_file, (TrothError,),
        lambda: [golden_lint.certificate(), golden_lint.pem("X509 CRL", golden_lint.crl()).encode()],
    ),
    "certificates of a form": (
        lambda data: certificates_in(data, "chain"), (TrothError,),
        lambda: [golden_lint.certificate(), golden_lint.pem("CERTIFICATE", golden_lint.certificate()).encode()],
    ),
    "crl of a form": (
        crl_in, (TrothError,), lambda: [golden_lint.crl(), golden_lint.pem("X509 CRL", golden_lint.crl()).encode()]
    ),
    "crl": (crl_findings, (), lambda: [golden_lint.crl(entries=golden_lint.entry(1)), golden_lint.crl()]),
    "ocsp": (ocsp.parse_request, (TrothError,), lambda: [ocsp_request()]),
    "to be signed": (read_tbs, (TrothError,), lambda: [golden_lint.certificate()[4:], golden_lint.certificate()]),
    "sid": (read_sid_extension, (TrothError, der.DerError), lambda: [der.sequence(der.octets(b"S-1-5-21-1-2-3-4"))]),
    "signer frames": (frames, (FrameTooLarge, msgspec.MsgspecError), lambda: [frame(Health(1, b"x" * 32))]),
    "signer requests": (
        # Text that is no UTF-8 is a UnicodeDecodeError of msgspec's, which is no MsgspecError.
        decode_request, (msgspec.MsgspecError, UnicodeDecodeError), lambda: [frame(Health(1, b"x" * 32))[4:]],
    ),
    "signer acts": (acts.decode, (TrothError,), lambda: [b'profile.apply\n{"document":"a"}', b'key.attach\n{}']),
    "tpm public": (structures.read_public, (TrothError,), lambda: tpm("pubArea")),
    "tpm attest": (structures.read_attest, (TrothError,), lambda: tpm("certInfo")),
    "tpm signature": (structures.read_signature, (TrothError,), lambda: [tpm("sig")[0]]),
    "tpm creation": (
        structures.read_creation_data, (TrothError,),
        lambda: [b"\0\0\0\1\0\x0b\3\xff\0\0\0\0\1\0\x0b\0\2ab\0\2cd\0\1x", bytes(15)],
    ),
    "tpm request": (
        read_attest_request, (TrothError,),
        lambda: [
            b'{"ek":"MA==","ekCerts":["MA=="],"params":{"public":"AA==","createData":"","createAttestation":"",'
            b'"createSignature":""}}'
        ],
    ),
    "endorsement": (
        read_endorsement_key, (TrothError,),
        lambda: [golden_lint.SPKI, golden_lint._rsa(65537, golden_lint._modulus(2048))],
    ),
    "registered endorsement": (
        text(endorsement_of), (TrothError,), lambda: documents("ab" * 32, b64encode(golden_lint.SPKI).decode()),
    ),
    "endorsement certificate": (
        lambda data: [make_of(one) for one in read_certificates([data])], (TrothError,),
        lambda: [golden_lint.certificate(), golden_lint.certificate() + bytes(40)],
    ),
    "tpm table": (text(read_csv), (TrothError,), lambda: documents('device,ek,model\nlaptop-17,ab,"a, b"\n')),
    "base64url": (b64url_decode, (JoseError,), lambda: [b"AQAB", b"_-8"]),
    "jwk": (
        from_json(VerifyingKey.from_jwk), (JoseError,),
        lambda: [b'{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}', b'{"kty":"RSA","n":"AQAB","e":"AQAB"}'],
    ),
    "jws": (Flattened.parse, (TrothError,), lambda: [b'{"protected":"e30","payload":"","signature":"AA"}']),
    "account binding": (
        from_json(lambda one: read_binding(one, url="https://a", key=_account_key())), (TrothError,),
        lambda: [b'{"protected":"e30","payload":"e30","signature":"AA"}'],
    ),
    "certificate to revoke": (
        lambda data: read_certificate(b64url_encode(data)), (TrothError,),
        lambda: [make() for _, make in golden_lint.certificates()],
    ),
    "unpause link": (text(lambda one: _links().read(one)), (TrothError,), lambda: [_links().link(new_id()).encode()]),
    "cursor of paused names": (
        text(_place), (TrothError,), lambda: documents(f"2026-06-01T00:00:00+00:00_{new_id()}_a.example"),
    ),
    "identifiers": (
        from_json(read_identifiers), (TrothError,), lambda: [b'[{"type":"dns","value":"a.example"}]'],
    ),
    "cert id": (
        lambda data: parse_cert_id(data.decode("latin-1")), (TrothError,),
        lambda: [b"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"],
    ),
    "renewal information": (
        lambda data: parse_renewal_info(data, 0), (TrothError,),
        lambda: [b'{"suggestedWindow":{"start":"2026-01-02T03:04:05Z","end":"2026-01-03T03:04:05Z"}}'],
    ),
    "issue value": (lambda data: parse_issue_value(data), (), lambda: [b"ca.example; accounturi=https://a/b; c=d"]),
    "webhook": (
        lambda data: webhook.read(data, feed="edr", message_id="m", now=NOW), (TrothError,),
        lambda: [_SIGNAL, _SIGNAL_BY_CERTIFICATE],
    ),
    "profile": (text(parse_profile), (TrothError,), lambda: documents(*shipped_profiles().values())),
    "policy": (text(parse_policy), (TrothError,), lambda: _POLICY),
    "policy-tests": (text(lambda one: run_tests(_device_policy(), one)), (TrothError,), _policy_tests),
    "xfcc": (text(lambda one: shown({"x-forwarded-client-cert": one})), (TrothError,), lambda: _XFCC),
    "escaped-cert": (text(lambda one: shown({"x-ssl-client-cert": one})), (TrothError,), lambda: _ESCAPED),
    "authzen": (_several.decode, (msgspec.DecodeError,), lambda: _AUTHZEN),
    "journal": (read_journal, (), lambda: framed(_ENTRY) * 3),
    "directory": (text(lambda one: parse_directory(one, at=NOW)), (TrothError,), lambda: _DIRECTORY),
    "standing rules": (text(parse_rules), (TrothError,), lambda: documents(shipped_text())),
    "approval rule": (text(lambda one: parse_rule(one, ("key.block",))), (TrothError,), lambda: _RULE),
    "agent configuration": (text(agent.parse), (TrothError,), lambda: documents(_AGENT)),
    "chain": (read_chain, (TrothError,), lambda: [golden_lint.pem("CERTIFICATE", golden_lint.certificate()).encode()]),
    "names": (
        text(lambda one: [_ignoring(canonical_name, kind, one) for kind in ("dns", "ip", "email", "uri", "upn")]),
        (TrothError,), lambda: documents("*.a.example", "2001:db8::1", "a@b.example", "spiffe://a/b", "u@REALM"),
    ),
    "subject": (text(parse_attributes), (TrothError,), lambda: documents("CN=a, O=b", "CN=a\\, b")),
    "sid text": (text(canonical_sid), (ValueError,), lambda: documents("S-1-5-21-1-2-3-500")),
    "note key": (text(NoteKey.parse), (TrothError,), lambda: documents(_NOTE_KEY)),
    "checkpoint": (text(CheckpointText.parse), (TrothError,), lambda: documents(_CHECKPOINT)),
    "attestation": (attestation, (TrothError,), attestations),
    "cbor": (cbor.decode, (cbor.CborError,), lambda: [b"\xa2\x61a\x82\x01\xf5\x61b\x5f\x41c\xff"]),
    "android description": (
        lambda data: as_json(read_description(data)), (der.DerError,), lambda: [android_description()],
    ),
    "android statuses": (
        lambda data: read_statuses(data, NOW), (TrothError,),
        lambda: [b'{"entries":{"2c8cdddf":{"status":"REVOKED","reason":"KEY_COMPROMISE"}}}'],
    ),
    "attestation roots": (
        lambda data: read_roots(data, origin="x", at=NOW), (TrothError,),
        lambda: [(_VECTORS / "swtpm/attestation-ca.pem").read_bytes()],
    ),
    "ledger export": (export, (TrothError,), lambda: [b'{"troth_ledger_export":1}\n{"index":0}\n', b"{}\n{}\n"]),
}  # fmt: skip


def tpm(name: str) -> list[bytes]:
    """One structure of each of the TPMs among the vectors."""
    vectors = json.loads(Path(__file__).parents[2].joinpath("vectors/tpm/structures.json").read_text())
    return [bytes.fromhex(one[name]) for one in vectors.values()]


def _ignoring(parse: Callable[..., object], *values: str) -> object:
    try:
        return parse(*values)
    except TrothError:
        return None


def ocsp_request() -> bytes:
    """A request for one certificate."""
    certificate = golden_lint.certificate(base=golden_lint.CA, subject=golden_lint.name(cn="Golden CA"))
    return ocsp.build_request(b"\x01" * 16, x509.load_der_x509_certificate(certificate), nonce=b"n" * 16)


@lru_cache(maxsize=1)
def _links() -> Pausing:
    box = SecretBox(b"k" * 32, purpose="unpause")
    return Pausing(None, FakeClock(NOW), Patience(), box, "")  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _account_key() -> VerifyingKey:
    return VerifyingKey.from_public_key(ec.derive_private_key(golden_lint._SECRET, ec.SECP256R1()).public_key())


def android_description() -> bytes:
    """The description of a phone's key."""
    return extensions(read_any(attestations()[3]).leaf)[DESCRIPTION]


def mutated(seed: bytes, changes: int, number: int) -> bytes:
    """``seed`` with octets changed, dropped, doubled or moved, always the same for one number."""
    data, chance = bytearray(seed), random.Random(number)
    for _ in range(changes):
        at = chance.randrange(len(data) + 1)
        how = chance.randrange(6)
        if how == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif how == 1:
            del data[at : at + chance.randrange(1, 9)]
        elif how == 2:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        elif how == 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 5))
        elif how == 4 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at:]
    return bytes(data)


@pytest.fixture(autouse=True, scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file for the parsers that read one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_FUZZ_FILE", str(tmp_path_factory.mktemp("fuzz") / "input"))
        yield


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)  # fmt: skip
@given(st.data())
@pytest.mark.filterwarnings("ignore")
def test_a_parser_answers_or_refuses(name: str, data: st.DataObject) -> None:
    parse, refusals, seeds = PARSERS[name]
    if data.draw(st.integers(0, 4)) == 0:
        given_ = data.draw(st.binary(max_size=200))
    else:
        seed = data.draw(st.sampled_from(seeds()))
        given_ = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(given_)
    except refusals:
        pass
