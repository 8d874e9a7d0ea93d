"""OCSP answers for servers that staple them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support.agents import Root, Workshop, root
from troth.agent.settings import CertificateSettings, CommandSettings, StapleSettings
from troth.client.errors import TRANSPORT, TransportError
from troth.client.transport import HttpAnswer, Transport
from troth.kit.clock import FakeClock

URL = "http://ocsp.example.org/"


class Responder(Transport):
    """In the place of a network: answers for the last certificate, as it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.status = ocsp.OCSPCertStatus.GOOD
        self.signer = root()
        self.holds: timedelta | None = timedelta(hours=12)
        self.shift = timedelta(0)
        self.away = False
        self.asked = 0

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: object = None) -> HttpAnswer:
        self.asked += 1
        assert (method, url) == ("POST", URL)
        if self.away:
            raise TransportError(TRANSPORT, f"{url}: connection refused")
        wanted = ocsp.load_der_ocsp_request(body)
        now = self.clock.now() + self.shift
        revoked = self.status is ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=wanted.issuer_name_hash,
            issuer_key_hash=wanted.issuer_key_hash,
            serial_number=wanted.serial_number,
            algorithm=hashes.SHA1(),
            cert_status=self.status,
            this_update=now,
            next_update=now + self.holds if self.holds is not None else None,
            revocation_time=now if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, self.signer.certificate)
        der = builder.sign(self.signer.key, hashes.SHA256()).public_bytes(Encoding.DER)
        return HttpAnswer(200, {}, der, url)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Transport]:
        yield self


@pytest.fixture
def responder(clock: FakeClock) -> Responder:
    return Responder(clock)


@pytest.fixture
def workshop(tmp_path: Path, clock: FakeClock, responder: Responder, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr("troth.agent.delivery._STAPLE_WAITS", (0.0, 0.0))
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\necho told >> {tmp_path}/told\n[ ! -e {tmp_path}/broken ]\n")
    hook.chmod(0o755)
    settings = CertificateSettings(
        names=("www.example.org",),
        staple=StapleSettings(path=f"{tmp_path}/web.ocsp", reload=CommandSettings(command=(str(hook),))),
    )
    made = Workshop(tmp_path, clock, settings, transport=responder.opened)
    made.source.extra = root().pem
    made.source.ocsp = URL
    return made


def held(workshop: Workshop) -> ocsp.OCSPResponse:
    return ocsp.load_der_ocsp_response((workshop.home / "web.ocsp").read_bytes())


def told(workshop: Workshop) -> int:
    place = workshop.home / "told"
    return len(place.read_text().splitlines()) if place.exists() else 0


async def test_a_staple_is_there_when_the_certificate_is(workshop: Workshop, responder: Responder) -> None:
    keeper = workshop.keeper()
    look = await keeper.tend()

    assert look.leaf is not None
    assert held(workshop).serial_number == look.leaf.serial_number
    assert await keeper.staple() == workshop.clock.now() + timedelta(hours=6)
    assert responder.asked == 1
    assert (workshop.home / "web.ocsp").stat().st_mode & 0o777 == 0o644


async def test_it_is_refreshed_when_half_of_its_time_is_over_and_the_server_is_told(
    workshop: Workshop, responder: Responder
) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    workshop.clock.advance(timedelta(hours=5))
    await keeper.staple()
    assert (responder.asked, told(workshop)) == (1, 0)
    workshop.clock.advance(timedelta(hours=1))
    await keeper.staple()

    assert (responder.asked, told(workshop)) == (2, 1)
    assert held(workshop).this_update_utc == workshop.clock.now()


async def test_a_server_that_could_not_be_told_is_told_later(workshop: Workshop, responder: Responder) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    workshop.clock.advance(timedelta(hours=6))
    (workshop.home / "broken").touch()
    due = await keeper.staple()
    assert due is not None
    assert keeper.stapler is not None
    trouble = keeper.stapler.look().trouble
    assert trouble is not None
    assert trouble.code == "agent.hook_failed"
    (workshop.home / "broken").unlink()
    workshop.clock.advance(due - workshop.clock.now())
    await workshop.keeper().staple()

    assert told(workshop) == 2
    assert keeper.stapler.look().told


@pytest.mark.parametrize("wrong", ["away", "old", "to come", "another signer", "unknown"])
async def test_the_old_one_stays_while_nothing_better_comes(
    workshop: Workshop, responder: Responder, wrong: str
) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    before = (workshop.home / "web.ocsp").read_bytes()
    workshop.clock.advance(timedelta(hours=6))
    match wrong:
        case "away":
            responder.away = True
        case "old":
            responder.shift = timedelta(hours=-13)
        case "to come":
            responder.shift = timedelta(hours=1)
        case "another signer":
            responder.signer = Root("another")
        case _:
            responder.status = ocsp.OCSPCertStatus.UNKNOWN
    due = await keeper.staple()

    assert due is not None
    assert workshop.clock.now() < due <= workshop.clock.now() + timedelta(minutes=1)
    assert (workshop.home / "web.ocsp").read_bytes() == before
    assert told(workshop) == 0
    assert keeper.stapler is not None
    trouble = keeper.stapler.look().trouble
    assert trouble is not None
    assert trouble.code in ("client.transport", "agent.staple", "client.ocsp.answer")
    workshop.clock.advance(timedelta(days=1))
    await keeper.staple()
    assert (workshop.home / "web.ocsp").exists(), "nginx does not start without it"


async def test_a_revocation_is_not_hidden(workshop: Workshop, responder: Responder) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    responder.status = ocsp.OCSPCertStatus.REVOKED
    workshop.clock.advance(timedelta(hours=6))
    await keeper.staple()

    assert held(workshop).certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert keeper.stapler is not None
    assert keeper.stapler.look().status == "revoked"


async def test_a_responder_that_is_away_does_not_keep_a_certificate_from_its_service(
    workshop: Workshop, responder: Responder
) -> None:
    responder.away = True
    keeper = workshop.keeper()
    look = await keeper.tend()
    assert (look.record.trouble, responder.asked) == (None, 2)
    responder.away = False
    workshop.clock.advance(timedelta(hours=1))
    await keeper.staple()
    assert (workshop.home / "web.ocsp").exists()


async def test_an_answer_without_an_end_and_one_that_was_deleted_are_fetched_anew(
    workshop: Workshop, responder: Responder
) -> None:
    responder.holds = None
    keeper = workshop.keeper()
    await keeper.tend()
    assert await keeper.staple() == workshop.clock.now() + timedelta(hours=6)
    (workshop.home / "web.ocsp").unlink()
    await keeper.staple()
    assert (workshop.home / "web.ocsp").exists()


async def test_a_chain_without_an_issuer_is_told(workshop: Workshop, responder: Responder) -> None:
    workshop.source.extra = b""
    keeper = workshop.keeper()
    await keeper.tend()
    assert keeper.stapler is not None
    trouble = keeper.stapler.look().trouble
    assert trouble is not None
    assert "no issuer" in trouble.detail
    assert responder.asked == 0


async def test_times_are_those_of_the_clock(workshop: Workshop) -> None:
    keeper = workshop.keeper()
    await keeper.tend()
    workshop.clock.set_wall(datetime(1990, 1, 1, tzinfo=workshop.clock.now().tzinfo))
    due = await keeper.staple()
    assert due is not None
    assert due <= workshop.clock.now() + timedelta(hours=6), "a staple from the future is not waited out"
