"""The door against whatever bytes a stranger sends: every answer is an OCSPResponse, and none is an accident."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mint import ca_certificate
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.ids import new_id
from troth.kit.lane import Asgi
from troth.pki import der
from troth.pki.authorities import Authority
from troth.pki.keys.keyring import CustodianState
from troth.pki.model import Crl, Responder
from troth.pki.ocsp import build_request
from troth.pki.serial import SerialNumber, new_serial
from troth.status.lookups import Lookups
from troth.status.metrics import render
from troth.status.model import Entry, Found
from troth.status.operations import Operations
from troth.status.responders import ActiveResponders
from troth.status.routes import StatusDoor
from troth.status.service import OcspService
from troth.status.table import StatusTable

MADE_UP_TO = datetime(2026, 6, 1, 12, tzinfo=UTC)

CLOCK = FakeClock(SystemClock().now())
SERIAL = new_serial(CLOCK.now())


class Point:
    live = True

    async def current(self, seconds: float) -> bool:
        return self.live


class Numbers:
    """What ``/metrics`` asks of a worker, and the documents of none."""

    authorities: Mapping[str, Authority] = {}

    def gauges(self) -> Mapping[str, float]:
        return {"lease_live": 1.0}

    def totals(self) -> Mapping[str, float]:
        return {"lookup_queries": 2.0}

    def crls(self) -> list[Crl]:
        made = MADE_UP_TO - timedelta(seconds=3)
        return [Crl("issuing", 2, "full", 1, None, made, MADE_UP_TO, 10, 490, b"", (), 0.25)]

    def custodians(self) -> list[CustodianState]:
        return [CustodianState("pkcs11:hsm", (), 3, "sealed", "signer.sealed", "waits", orphans=("issuing-x",))]

    def operations(self) -> Operations | None:
        hour = timedelta(hours=1)
        return Operations({("ERROR", "audit.unbound"): 2}, {"backup": MADE_UP_TO - hour, "unknown": MADE_UP_TO})

    def now(self) -> datetime:
        return MADE_UP_TO

    def crl(self, _slug: str) -> None:
        raise RuntimeError("a defect with a secret in its message")

    def certificate(self, _name: str) -> None:
        return None


class Rows:
    """One issued certificate."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    async def by_serials(self, serials: Sequence[bytes]) -> dict[bytes, Found]:
        good = Entry(SerialNumber(SERIAL), "issuing", "good", 0, CLOCK.now(), None, CLOCK.now() + timedelta(days=1))
        return {serial: Found(good, "issued") for serial in serials if serial == SERIAL}

    async def responders(self, _now: datetime) -> list[Responder]:
        return [self._responder]


@dataclass
class Door:
    lane: Asgi
    issuer: x509.Certificate
    service: OcspService

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        return asyncio.run(self._ask(method, path, body, headers or {}))

    async def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode("latin-1"),
            "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await self.lane(scope, receive, send)
        start, content = sent
        return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, content["body"]

    def post(self, body: bytes) -> bytes:
        status, headers, answer = self.ask("POST", "/ocsp/issuing", body, {"content-type": "application/ocsp-request"})
        assert (status, headers["content-type"]) == (200, "application/ocsp-response")
        return answer

    def get(self, encoded: str) -> bytes:
        status, headers, answer = self.ask("GET", f"/ocsp/issuing/{encoded}")
        assert (status, headers["content-type"]) == (200, "application/ocsp-response")
        return answer


@pytest.fixture(scope="module")
def door() -> Door:
    root_key, key, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = ca_certificate(root_key, "Fuzz Root", CLOCK.now())
    issuer = ca_certificate(key, "Fuzz Issuing", CLOCK.now(), (root, root_key))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP")])
    responder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(CLOCK.now() - timedelta(hours=1))
        .not_valid_after(CLOCK.now() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    authority = Authority(
        "issuing", "Fuzz Issuing", "issuing", "root", issuer.public_bytes(Encoding.DER), "key", "active", True,
        None, "http://status.test/ocsp/issuing", None, CLOCK.now(),
    )  # fmt: skip
    record = Responder(
        new_id(), "issuing", "own", responder.public_bytes(serialization.Encoding.DER), CLOCK.now(),
        CLOCK.now() + timedelta(days=1),
    )  # fmt: skip

    class Keys:
        async def release_key(self, key_id: str) -> bytes:
            assert key_id == "own"
            return own.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    rows: Any = Rows(record)
    responders = ActiveResponders(rows, Keys(), CLOCK)
    asyncio.run(responders.refresh({"issuing": authority}))
    service = OcspService(
        table=StatusTable(CLOCK), lookups=Lookups(rows), responders=responders, point=Point(), clock=CLOCK,
        validity=timedelta(seconds=60), patience=timedelta(seconds=60),
    )  # fmt: skip
    service.serve({"issuing": authority})
    numbers: Any = Numbers()
    return Door(StatusDoor(service, numbers, numbers).lane(), issuer, service)


def is_sound(answer: bytes) -> ocsp.OCSPResponse:
    parsed = ocsp.load_der_ocsp_response(answer)
    assert parsed.response_status in {
        ocsp.OCSPResponseStatus.SUCCESSFUL,
        ocsp.OCSPResponseStatus.MALFORMED_REQUEST,
        ocsp.OCSPResponseStatus.UNAUTHORIZED,
    }
    return parsed


def test_a_sound_request_is_answered(door: Door) -> None:
    request = build_request(SERIAL, door.issuer, nonce=b"n" * 16)
    for answer in (door.post(request), door.get(quote(base64.b64encode(request).decode(), safe=""))):
        parsed = is_sound(answer)
        assert parsed.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert parsed.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 16


@given(body=st.binary(max_size=200))
def test_no_bytes_make_the_door_stumble(door: Door, body: bytes) -> None:
    assert is_sound(door.post(body)).response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL
    if body:
        is_sound(door.get(quote(base64.b64encode(body).decode(), safe="")))


@given(data=st.data())
def test_no_damaged_request_makes_the_door_stumble(door: Door, data: st.DataObject) -> None:
    whole = bytearray(build_request(SERIAL, door.issuer, nonce=b"n" * 16))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "double", "insert"]))
        if kind == "flip":
            whole[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del whole[at:]
            whole += b"\0"
        elif kind == "double":
            whole[at:at] = whole[at : at + 20]
        else:
            whole[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    parsed = is_sound(door.post(bytes(whole)))
    if parsed.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
        good = parsed.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert good == (parsed.serial_number == int.from_bytes(SERIAL, "big"))


@given(path=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=80))
def test_no_path_makes_the_door_stumble(door: Door, path: str) -> None:
    status, _, answer = door.ask("GET", f"/ocsp/issuing/{path}")
    assert status == 200
    is_sound(answer)
    status, _, _ = door.ask("GET", f"/ca/{path}")
    assert status == 404


def test_one_request_may_ask_about_several_and_each_gets_its_own_status(door: Door) -> None:
    def cert_id(request: bytes) -> bytes:
        return der.Reader(request).enter(der.SEQUENCE).enter(der.SEQUENCE).enter(der.SEQUENCE).whole()

    other = build_request(new_serial(CLOCK.now()), door.issuer)
    entries = [cert_id(build_request(SERIAL, door.issuer)), cert_id(other), cert_id(build_request(SERIAL, door.issuer))]
    request = der.sequence(der.sequence(der.sequence(*entries)))
    parsed = is_sound(door.post(request))
    told = [single.certificate_status.name for single in parsed.responses]
    assert told == ["GOOD", "UNKNOWN", "GOOD"]


def test_a_defect_is_told_as_an_internal_error_without_its_words(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect with a secret in its message")

    monkeypatch.setattr(door.service, "answer", broken)
    assert door.post(b"x") == b"\x30\x03\x0a\x01\x02"
    status, _, body = door.ask("GET", "/crl/issuing.crl")
    assert status == 500
    assert b"secret" not in body


def test_a_very_long_path_is_refused_before_it_is_decoded(door: Door) -> None:
    assert door.get("A" * 40_000) == b"\x30\x03\x0a\x01\x01"


def test_metrics_are_in_prometheus_text(door: Door) -> None:
    status, headers, body = door.ask("GET", "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    lines = body.decode().splitlines()
    assert "troth_status_lease_live 1.0" in lines
    assert "troth_status_lookup_queries_total 2.0" in lines
    labels = '{authority="issuing",kind="full",shard="2"}'
    for line in ("age_seconds%s 3.0", "entries%s 10.0", "bytes%s 490.0", "build_seconds%s 0.25"):
        assert f"troth_crl_{line % labels}" in lines

    assert b'troth_custodian_state{custodian="pkcs11:hsm",state="sealed"} 1.0' in body
    assert b'troth_custodian_orphans{custodian="pkcs11:hsm"} 1.0' in body
    assert b"troth_signer_answers 1.0" in body

    assert 'troth_findings{code="audit.unbound",severity="ERROR"} 2.0' in lines
    assert "troth_backup_age_seconds 3600.0" in lines
    assert not [line for line in lines if "shipping" in line], "nobody ships here"


def test_while_the_database_does_not_answer_no_metric_says_that_there_are_no_findings() -> None:
    class Away(Numbers):
        def operations(self) -> Operations | None:
            return None

    assert b"troth_findings" not in render(Away(), {})
    assert b"troth_findings" in render(Numbers(), {})
