"""The agent's EST source against the door itself, over real TLS: begun with a secret, renewed by itself."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.agents import fits
from tests.support.est import Est
from troth.agent.config import parse
from troth.agent.errors import AgentError
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.client.errors import TRANSPORT, TransportError
from troth.client.est import EstClient
from troth.kit.clock import FakeClock, SystemClock
from troth.kit.lane import Lane, Request, Response
from troth.web.server import Listening, serve
from troth.web.tls import ServerTls

NAME = "host-1.corp.example"


#: TLS looks at the machine's clock, so that of these tests begins there.
NOW = SystemClock().now()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@dataclass
class Served:
    """The door on a port of this machine, and a host with an agent.

    Attributes:
        fault: answers in the door's place, if it is set and gives an answer.
        asked: operations, in their order, with whether a certificate was shown.
    """

    est: Est
    home: Path
    port: int
    tls: ServerTls
    fault: Callable[[Request], Response | None] = lambda _: None
    asked: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.home / "state"

    async def configure(self, *, label: str = "", certificate: str = "", issuer: str = "", **wanted: Any) -> None:
        """Write the agent's file, with a new enrolment's secret."""
        user, secret = await self.est.enrolment(**wanted)
        (self.home / "secret").write_text(secret + "\n")
        (self.home / "secret").chmod(0o600)
        (self.home / "root.pem").write_bytes(self.est.mint.root.public_bytes(Encoding.PEM))
        beginning = issuer or f'est_user = "{user}"\nest_secret_file = "{self.home}/secret"'
        (self.home / "agent.toml").write_text(f"""
[agent]
state = "{self.state}"
[issuer.troth]
est = "https://localhost:{self.port}/.well-known/est{label}"
trust = "{self.home}/root.pem"
{beginning}
[certificate.host]
names = ["{NAME}"]
{certificate}
""")

    def agent(self) -> Agent:
        """A fresh process: all that it knows is on the disk."""
        config = parse((self.home / "agent.toml").read_text())
        return Agent(config, StateDirectory(self.state, hold=False), self.est.mint.clock)

    async def once(self) -> bool:
        """What the agent does when it looks once."""
        for path in (self.state, self.state / "certificates", self.state / "certificates" / "host"):
            path.mkdir(mode=0o755, exist_ok=True)
        return await self.agent().once()

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate in use, which fits its key."""
        current = self.state / "certificates" / "host" / "current"
        pem = (current / "leaf.pem").read_bytes()
        assert fits(pem, (current / "key.pem").read_bytes())
        return x509.load_pem_x509_certificate(pem)

    @property
    def trouble(self) -> str:
        """What failed last."""
        trouble = self.agent().keepers["host"].look().record.trouble
        return "" if trouble is None else f"{trouble.code}: {trouble.detail}"


@pytest.fixture
async def served(est: Est, tmp_path: Path) -> AsyncIterator[Served]:
    issuing = est.mint.signer.keys["issuing-key"]
    key = ec.generate_private_key(ec.SECP256R1())
    now = est.mint.clock.now()
    builder = x509.CertificateBuilder(est.mint.issuer.subject, x509.Name([]), key.public_key(), 7)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=3000))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
    own = builder.sign(issuing, hashes.SHA256())
    pem, pkcs8 = Encoding.PEM, PrivateFormat.PKCS8
    (tmp_path / "server.pem").write_bytes(
        own.public_bytes(pem) + est.mint.issuer.public_bytes(pem) + key.private_bytes(pem, pkcs8, NoEncryption())
    )
    tls = ServerTls(tmp_path / "server.pem", asks=True)
    tls.take(one.certificate for one in est.mint.catalogue.authorities.values())
    listener = socket.create_server(("127.0.0.1", 0))
    made = Served(est, tmp_path, listener.getsockname()[1], tls)

    def watched(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            made.asked.append((request.path.rpartition("/")[2], request.tls_client_cert is not None))
            answer = made.fault(request)
            return await handler(request) if answer is None else answer

        return handle

    from dataclasses import replace

    routes = [
        replace(one, methods={method: watched(handler) for method, handler in one.methods.items()})
        for one in est.door.routes()
    ]
    stop, ready = asyncio.Event(), asyncio.Event()
    lane = Lane(routes, on_error=est.lane.on_error)
    task = asyncio.create_task(serve([Listening(app=lane, sockets=[listener], tls=tls)], stop=stop, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 120)
    yield made
    stop.set()
    await asyncio.wait_for(task, 120)


async def test_it_begins_with_a_secret_and_renews_with_its_certificate(served: Served) -> None:
    await served.configure()
    assert await served.once(), served.trouble
    first = served.leaf
    chain = (served.state / "certificates" / "host" / "current" / "chain.pem").read_bytes()
    assert x509.load_pem_x509_certificates(chain) == [served.est.mint.issuer]
    assert served.asked == [("cacerts", False), ("simpleenroll", False)]
    (served.home / "secret").unlink()  # of no use any more
    served.asked.clear()
    await served.agent().keepers["host"].renew()
    assert served.asked == [("cacerts", False), ("simplereenroll", True)]
    assert served.leaf.serial_number != first.serial_number
    assert served.leaf.public_key() != first.public_key()


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_request(served: Served) -> None:
    await served.configure(most_orders=1, most_accounts=1)
    lost: list[bytes] = []

    def away(request: Request) -> Response | None:
        if request.path.endswith("simpleenroll") and not lost:
            lost.append(request.body)
            return Response(503, b"away", ((b"Retry-After", b"7"),))
        if request.path.endswith("simpleenroll"):
            assert request.body == lost[0]
        return None

    served.fault = away
    assert not await served.once()
    assert served.trouble.startswith("client.est.waits: simpleenroll: 503")
    record = served.agent().keepers["host"].look().record
    assert record.not_before is not None
    assert record.not_before - served.est.mint.clock.now() >= timedelta(seconds=7)
    served.est.mint.clock.advance(timedelta(minutes=20))
    assert await served.once(), served.trouble


async def test_what_waits_and_what_is_broken_is_tried_again_and_installs_nothing(served: Served) -> None:
    await served.configure(seconds=86_400)
    faults = [
        Response(202, b"", ((b"Retry-After", b"60"),)),
        Response(500, b"Internal"),
        Response(200, b"<html>", ((b"Content-Type", b"text/html"),)),
        Response(200, b"!!", ((b"Content-Type", b"application/pkcs7-mime"),)),
    ]
    told = []
    for fault in faults:
        served.fault = lambda request, fault=fault: fault if request.method == "POST" else None
        assert not await served.once()
        told.append(served.trouble.partition(":")[0])
        served.est.mint.clock.advance(timedelta(minutes=20))
    assert told == ["client.est.waits", "client.est.refused", "client.est.answer", "client.est.answer"]
    served.fault = lambda _: None
    assert await served.once(), served.trouble
    keeper = served.agent().keepers["host"]
    assert len(keeper.generations.numbers()) == 1


async def test_a_certificate_for_another_key_is_not_taken(served: Served) -> None:
    await served.configure()
    from troth.enroll.est.body import CERTS_ONLY, certs_only, encoded

    wrong = encoded(certs_only([served.est.mint.root.public_bytes(Encoding.DER)]))
    answer = Response(200, wrong, ((b"Content-Type", CERTS_ONLY),))
    served.fault = lambda request: answer if request.method == "POST" else None
    assert not await served.once()
    assert "no certificate for the key" in served.trouble


async def test_where_a_certificate_cannot_be_shown_the_secret_serves_again(served: Served) -> None:
    await served.configure(label="/servers")
    assert await served.once(), served.trouble
    served.asked.clear()
    await served.agent().keepers["host"].renew()
    assert served.asked == [("cacerts", False), ("simpleenroll", False)]


async def test_a_server_that_will_not_renew_is_asked_for_a_first_certificate(served: Served) -> None:
    from troth.pki import revocation
    from troth.store.unit import Unit

    await served.configure()
    assert await served.once(), served.trouble
    database, clock = served.est.mint.database, served.est.mint.clock
    of = await database.fetchval("SELECT id FROM certificate WHERE state = 'issued'")
    unit = Unit()
    revocation.revoke(unit, revocation.OfCertificate(of), reason=4, actor="admin:test", at=clock.now())
    await database.commit(unit)
    served.asked.clear()
    await served.agent().keepers["host"].renew()
    assert served.asked == [("cacerts", False), ("simplereenroll", True), ("simpleenroll", False)]


async def test_a_handshake_that_the_certificate_fails_is_tried_with_the_secret(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.configure()
    assert await served.once(), served.trouble

    async def cut(self: EstClient, csr: bytes) -> x509.Certificate:
        raise TransportError(TRANSPORT, "the server closed the connection without an answer")

    monkeypatch.setattr(EstClient, "renew", cut)
    served.asked.clear()
    await served.agent().keepers["host"].renew()
    assert served.asked == [("cacerts", False), ("simpleenroll", False)]
    # Without a secret it is said, and nothing is lost.
    before = served.leaf
    text = (served.home / "agent.toml").read_text()
    text = re.sub(r"est_secret_file = .*", 'bootstrap_certificate = "/none"\nbootstrap_key = "/none"', text)
    (served.home / "agent.toml").write_text(re.sub(r"est_user = .*\n", "", text))
    with pytest.raises(AgentError):
        await served.agent().keepers["host"].renew()
    assert served.leaf == before


async def test_a_root_that_the_server_tells_of_is_believed_and_one_of_a_stranger_is_not(served: Served) -> None:
    from troth.enroll.est.body import CERTS_ONLY, certs_only, encoded

    await served.configure()
    der = Encoding.DER
    known = [served.est.mint.issuer.public_bytes(der), served.est.mint.root.public_bytes(der)]
    told = encoded(certs_only([*known, served.est.foreign.root.public_bytes(der)]))
    answer = Response(200, told, ((b"Content-Type", CERTS_ONLY),))
    served.fault = lambda request: answer if request.path.endswith("cacerts") else None
    assert await served.once(), served.trouble
    kept = (served.state / "issuers" / "troth" / "est-roots.pem").read_bytes()
    assert set(x509.load_pem_x509_certificates(kept)) == {served.est.mint.root, served.est.foreign.root}
    # A server that TLS does not vouch for is not even asked for anything.
    (served.home / "root.pem").write_bytes(served.est.foreign.root.public_bytes(Encoding.PEM))
    (served.state / "issuers" / "troth" / "est-roots.pem").unlink()
    served.asked.clear()
    with pytest.raises(AgentError) as refused:
        await served.agent().keepers["host"].renew()
    assert "client.transport" in refused.value.detail
    assert served.asked == []


async def test_a_makers_certificate_may_be_what_it_begins_with(served: Served) -> None:
    est = served.est
    served.tls.take([est.foreign.root.public_bytes(Encoding.DER)])
    key = ec.generate_private_key(ec.SECP256R1())
    now = est.mint.clock.now()
    builder = x509.CertificateBuilder(est.foreign.root.subject, x509.Name([]), key.public_key(), 9)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=900))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    old = builder.sign(est.foreign.key, hashes.SHA256())
    (served.home / "old.pem").write_bytes(old.public_bytes(Encoding.PEM))
    (served.home / "old.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    beginning = f'bootstrap_certificate = "{served.home}/old.pem"\nbootstrap_key = "{served.home}/old.key"'
    await served.configure(label="/old-pki", issuer=beginning)
    assert await served.once(), served.trouble
    assert served.asked == [("cacerts", False), ("simpleenroll", True)]
    await served.agent().keepers["host"].renew()
    assert served.asked[-1] == ("simplereenroll", True)
