"""The ports of effects against real servers: an HTTP receiver, a mail server with STARTTLS, and strongSwan's charon."""

from __future__ import annotations

import asyncio
import json
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.charon import Charon, charon, connect, identities
from tests.support.streams import serving
from troth.connect.effects.chat import ChatPort
from troth.connect.effects.mail import MailPort, NotifyPort
from troth.connect.effects.vpn import VpnPort
from troth.connect.effects.webhook import WebhookPort
from troth.connect.webhook.signature import Stamp, verify
from troth.kit.clock import SystemClock
from troth.kit.http import HttpClient
from troth.kit.ids import new_id
from troth.kit.settings import EgressSettings
from troth.trust.outbox.model import Effect, EffectSubject, Notice, Outcome, Result
from troth.trust.outbox.reactions import ChatTarget, MailTarget, Target, ViciTarget, WebhookTarget

_SECRET = b"w" * 32


@dataclass
class Known:
    """Targets as a test says they are."""

    found: dict[str, tuple[Target, bytes | None]]

    async def target(self, name: str) -> Target:
        return self.found[name][0]

    async def secret(self, name: str) -> bytes | None:
        return self.found[name][1]


def _effect(target: str, *, name: str = "laptop-17") -> tuple[Effect, EffectSubject]:
    now = datetime.now(UTC)
    notice = Notice("device", name, "trusted", "quarantined", 1)
    effect = Effect(
        id=new_id(), subject_id=new_id(), standing_version=1, port="notify", target=target, acting=False, undo="",
        undone=False, notice=notice, signal_id=new_id(), actor="feed:edr", automated=True, accepted_at=now,
        planned_at=now, due=now,
    )  # fmt: skip
    return effect, EffectSubject(effect.subject_id, "device", name, False, {}, (f"{name}.example.com",))


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient(EgressSettings(networks=("127.0.0.0/8",), plain_http=True, timeout_seconds=5))
    yield client
    await client.close()


@dataclass
class Receiver:
    """Answers in turn, and keeps what came."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head if line)}
        self.came.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status, more = self.answers.pop(0) if self.answers else (204, "")
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{more}connection: close\r\n\r\n".encode())
        await writer.drain()


# --- webhook and chat ------------------------------------------------------------------------------------------------


async def test_a_webhook_verifies_by_the_specification_and_repeats_with_the_same_id(http: HttpClient) -> None:
    receiver, clock = Receiver(answers=[(503, "retry-after: 120\r\n"), (200, "")]), SystemClock()
    async with serving(receiver.answer) as port:
        known = Known({"soc": (WebhookTarget(name="soc", url=f"http://127.0.0.1:{port}/hook"), _SECRET)})
        sender, effect = WebhookPort(known, http, clock), _effect("soc")
        first, second = await sender.execute(*effect), await sender.execute(*effect)
    assert first == Outcome.retry("answered 503", timedelta(seconds=120))
    assert second.result is Result.DONE
    for headers, body in receiver.came:
        verify(
            Stamp.of(headers), body, secrets=[_SECRET], now=clock.now(), tolerance=timedelta(seconds=60)
        )  # raises if it does not
    assert {headers["webhook-id"] for headers, _ in receiver.came} == {f"eff_{effect[0].id.hex}"}
    assert receiver.came[0][1] == receiver.came[1][1]


@pytest.mark.parametrize(
    ("status", "result"), [(200, Result.DONE), (302, Result.RETRY), (404, Result.RETRY), (410, Result.REFUSED)]
)
async def test_what_a_receivers_answer_means(http: HttpClient, status: int, result: Result) -> None:
    receiver = Receiver(answers=[(status, "location: http://127.0.0.1:1/\r\n")])
    async with serving(receiver.answer) as port:
        known = Known({"soc": (WebhookTarget(name="soc", url=f"http://127.0.0.1:{port}/"), _SECRET)})
        assert (await WebhookPort(known, http, SystemClock()).execute(*_effect("soc"))).result is result
    assert len(receiver.came) == 1


async def test_nothing_goes_out_unsigned_nor_where_the_settings_let_nothing_out(http: HttpClient) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as port:
        url = f"http://127.0.0.1:{port}/"
        unsigned = Known({"soc": (WebhookTarget(name="soc", url=url), None)})
        assert (await WebhookPort(unsigned, http, SystemClock()).execute(*_effect("soc"))).result is Result.REFUSED
        closed = HttpClient(EgressSettings(plain_http=True))
        signed = Known({"soc": (WebhookTarget(name="soc", url=url), _SECRET)})
        assert (await WebhookPort(signed, closed, SystemClock()).execute(*_effect("soc"))).result is Result.REFUSED
        await closed.close()
    assert receiver.came == []
    gone = Known({"soc": (WebhookTarget(name="soc", url=url), _SECRET)})
    assert (await WebhookPort(gone, http, SystemClock()).execute(*_effect("soc"))).result is Result.RETRY


@pytest.mark.parametrize("style", ["slack", "teams", "google"])
async def test_a_chat_room_is_told_in_its_own_json(http: HttpClient, style: Any) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as port:
        address = f"http://127.0.0.1:{port}/room".encode()
        known = Known({"soc": (ChatTarget(name="soc", style=style), address)})
        told = await ChatPort(known, http, SystemClock()).execute(*_effect("soc"))
    assert told.result is Result.DONE
    body = json.loads(receiver.came[0][1])
    assert "laptop-17 went from trusted to quarantined" in json.dumps(body)
    assert ("attachments" in body) is (style == "teams")


# --- mail ------------------------------------------------------------------------------------------------------------


class Mailbox:
    """aiosmtpd's handler: keeps envelopes; refuses recipients named ``nobody``."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.later = False

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.later:
            return "451 4.3.0 come back later"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802 -- the same
        self.envelopes.append(envelope)
        return "250 2.0.0 queued as 42"


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("mail") / "identity.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


Started = Callable[..., tuple[Mailbox, int]]


@pytest.fixture
def mail_server(identity: Path) -> Iterator[Started]:
    running: list[Controller] = []

    def start(*, tls: bool = True, login: bool = False) -> tuple[Mailbox, int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity)
        mailbox = Mailbox()

        def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
            good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"troth", b"pass word")
            return AuthResult(success=good, handled=False)

        controller = Controller(
            mailbox, hostname="127.0.0.1", port=0, tls_context=context if tls else None, require_starttls=tls,
            authenticator=check if login else None, auth_required=login, auth_require_tls=tls, ready_timeout=10,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            controller.port = free.getsockname()[1]
        controller.start()
        running.append(controller)
        return mailbox, controller.port

    yield start
    for controller in running:
        controller.stop()


def _mail(port: int, **fields: Any) -> MailTarget:
    values: dict[str, Any] = {"name": "soc", "server": f"localhost:{port}", "sender": "troth@example.com",
                              "to": ("soc@example.com", "duty@example.com")}  # fmt: skip
    return MailTarget(**(values | fields))


def _mailing(http: HttpClient, identity: Path, target: MailTarget, secret: bytes | None = None) -> MailPort:
    context = ssl.create_default_context(cafile=str(identity))
    return MailPort(Known({"soc": (target, secret)}), http, context=context)


async def test_a_mail_is_taken_by_a_real_server_under_tls(
    http: HttpClient, identity: Path, mail_server: Started
) -> None:
    mailbox, port = mail_server(login=True)
    sender = _mailing(http, identity, _mail(port, user="troth"), b"pass word")
    known = Known({"soc": (_mail(port, user="troth"), b"pass word")})
    others = ChatPort(known, http, SystemClock()), WebhookPort(known, http, SystemClock())
    told = await NotifyPort(known, sender, *others).execute(*_effect("soc"))
    assert told == Outcome.done("taken: 2.0.0 queued as 42")
    (envelope,) = mailbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("troth@example.com", ["soc@example.com", "duty@example.com"])
    assert isinstance(envelope.content, bytes)
    assert b"Subject: Troth: device laptop-17 is quarantined" in envelope.content


async def test_a_wrong_password_or_recipient_is_refused_and_later_is_later(
    http: HttpClient, identity: Path, mail_server: Started
) -> None:
    mailbox, port = mail_server(login=True)
    wrong = await _mailing(http, identity, _mail(port, user="troth"), b"guess").execute(*_effect("soc"))
    assert wrong.result is Result.REFUSED
    assert "535" in wrong.detail
    assert "guess" not in wrong.detail
    sender = _mailing(http, identity, _mail(port, user="troth", to=("nobody@example.com",)), b"pass word")
    assert (await sender.execute(*_effect("soc"))).result is Result.REFUSED
    mailbox.later = True
    assert (await sender.execute(*_effect("soc"))).result is Result.RETRY
    assert mailbox.envelopes == []


async def test_no_password_and_no_word_goes_over_a_line_that_is_not_the_servers(
    http: HttpClient, identity: Path, mail_server: Started
) -> None:
    mailbox, port = mail_server(tls=False)
    plain = await _mailing(http, identity, _mail(port)).execute(*_effect("soc"))
    assert plain.result is Result.REFUSED
    assert "STARTTLS" in plain.detail
    _, port = mail_server()
    stranger = MailPort(Known({"soc": (_mail(port), None)}), http)  # believes the machine's authorities alone
    assert (await stranger.execute(*_effect("soc"))).result is Result.RETRY
    assert mailbox.envelopes == []
    # Asked to, it does without.
    mailbox, port = mail_server(tls=False)
    assert (await _mailing(http, identity, _mail(port, tls="off")).execute(*_effect("soc"))).result is Result.DONE
    assert len(mailbox.envelopes) == 1


async def test_what_was_said_in_the_clear_does_not_count_under_tls(http: HttpClient, identity: Path) -> None:
    """A reply that an attacker puts behind the server's 220 to STARTTLS must not be read as the next one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        await reader.readline()
        writer.write(b"250-here\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go on\r\n250-injected\r\n250 AUTH PLAIN\r\n")
        await writer.drain()
        await writer.start_tls(context)
        came.append(await reader.readline())
        writer.write(b"250-here\r\n250 SIZE 1000\r\n")
        came.append(await reader.readline())

    async with serving(answer) as port:
        target = _mail(port, user="troth", server=f"localhost:{port}")
        told = await _mailing(http, identity, target, b"pass word").execute(*_effect("soc"))
    # The server itself offers no AUTH: the injected offer was not heard, and the password was not sent.
    assert (told.result, "AUTH PLAIN" in told.detail) == (Result.REFUSED, True)
    assert not any(b"AUTH PLAIN " in line for line in came)


def test_the_mail_server_of_these_tests_is_one_that_others_speak_with_too(mail_server: Started) -> None:
    _, port = mail_server(tls=False)
    with smtplib.SMTP("127.0.0.1", port) as client:
        assert client.noop()[0] == 250


# --- VPN -------------------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[Charon, Charon]]:
    async with (
        charon(tmp_path, "gw", _free_port(), _free_port()) as one,
        charon(tmp_path, "cl", _free_port(), _free_port()) as other,
    ):
        yield one, other


async def test_the_vpn_connections_of_a_device_are_ended_at_a_real_strongswan_and_no_others(
    gateway: tuple[Charon, Charon],
) -> None:
    here, there = gateway
    for name in ("laptop-17.example.com", "laptop-18.example.com"):
        await connect(here, there, name)
    assert await identities(here) == ["laptop-17.example.com", "laptop-18.example.com"]
    port = VpnPort(Known({"hq": (ViciTarget(name="hq", socket=here.socket), None)}))
    assert await port.execute(*_effect("hq")) == Outcome.done("ended 1 VPN connection")
    async with asyncio.timeout(120):
        while len(await identities(here)) > 1:
            await asyncio.sleep(0.02)
    assert await identities(here) == ["laptop-18.example.com"]
    # Once more, as after a crash: there is nothing left to do, and nothing else is done.
    assert await port.execute(*_effect("hq")) == Outcome.done("it has no VPN connection here")


async def test_a_gateway_that_is_away_is_tried_again(tmp_path: Path) -> None:
    port = VpnPort(Known({"hq": (ViciTarget(name="hq", socket=str(tmp_path / "nothing")), None)}))
    assert (await port.execute(*_effect("hq"))).result is Result.RETRY


async def test_something_else_behind_the_socket_is_no_gateway(tmp_path: Path) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(chatter, tmp_path / "other")
    port = VpnPort(Known({"hq": (ViciTarget(name="hq", socket=str(tmp_path / "other")), None)}))
    assert (await port.execute(*_effect("hq"))).result is Result.RETRY
    server.close()
    await server.wait_closed()
