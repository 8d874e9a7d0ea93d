"""Validation against real sockets: a web root, a DNS server, and TLS servers that are right or wrong in one way."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.dns import DnsServer
from tests.support.streams import serving
from tests.support.webroot import CHALLENGES, ChallengeWebRoot, Page
from troth.enroll.acme.problems import URN, Identifier
from troth.enroll.acme.validate.caa import CaaRecord
from troth.enroll.acme.validate.network import NetworkPolicy, networks
from troth.enroll.acme.validate.outcome import Challenge, Invalid, NotShown, Valid
from troth.enroll.acme.validate.resolver import DnsResolver, SystemResolver
from troth.enroll.acme.validate.tlsalpn01 import check_certificate
from troth.enroll.acme.validate.validator import ValidationSettings, Validator, build_validator
from troth.kit.acme_settings import AcmeSettings
from troth.kit.addresses import Address

TOKEN = "tok_en-0123456789abcdef"
KEY_AUTHORIZATION = TOKEN + "." + "A" * 43
NAME = Identifier("dns", "www.example.test")
LOCAL = Identifier("ip", "127.0.0.1")


def challenge(kind: str, identifier: Identifier = NAME) -> Challenge:
    return Challenge(kind, identifier, TOKEN, KEY_AUTHORIZATION)


class Names:
    """A resolver that knows what a test tells it."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[str] = []
        self._addresses: list[Address] = [ip_address(address) for address in addresses or ("127.0.0.1",)]

    async def addresses(self, name: str) -> list[Address]:
        self.asked.append(name)
        return self._addresses

    async def texts(self, name: str) -> list[bytes]:
        raise NotImplementedError

    async def caa(self, name: str) -> list[CaaRecord]:
        raise NotImplementedError


def validator(
    *,
    port: int = 80,
    resolver: Names | DnsResolver | SystemResolver | None = None,
    network: NetworkPolicy | None = None,
    https_port: int = 443,
    budget: float = 5.0,
) -> Validator:
    return Validator(
        ValidationSettings(http_port=port, https_port=https_port, tls_alpn_port=port, budget=budget),
        network=network or NetworkPolicy(),
        resolver=resolver or Names(),
    )


def invalid(found: Valid | Invalid, short: str, *, retryable: bool) -> str:
    assert isinstance(found, Invalid), found
    assert (found.problem.type, found.retryable) == (URN + short, retryable), found.problem
    return found.problem.detail


# http-01


async def test_a_served_key_authorization_is_valid(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    names = Names()
    found = await validator(port=challenge_web_root.port, resolver=names).validate(challenge("http-01"))
    assert isinstance(found, Valid)
    assert names.asked == ["www.example.test"]
    assert challenge_web_root.requests == [(f"www.example.test:{challenge_web_root.port}", CHALLENGES + TOKEN)]
    assert [attempt.result for attempt in found.record] == ["connected", "HTTP 200"]


async def test_an_address_is_validated_without_looking_anything_up(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    names = Names()
    found = await validator(port=challenge_web_root.port, resolver=names).validate(challenge("http-01", LOCAL))
    assert isinstance(found, Valid)
    assert names.asked == []


async def test_white_space_behind_the_key_authorization_is_ignored(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION + " \r\n\t\n"
    assert isinstance(await validator(port=challenge_web_root.port).validate(challenge("http-01")), Valid)


async def test_the_system_resolver_finds_localhost(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    resolver = SystemResolver(threads=1)
    checker = validator(port=challenge_web_root.port, resolver=resolver)
    assert isinstance(await checker.validate(challenge("http-01", Identifier("dns", "localhost"))), Valid)
    resolver.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "0 bytes"),
        (b"something else", "14 bytes"),
        (b" " + KEY_AUTHORIZATION.encode(), "not this challenge"),
        (KEY_AUTHORIZATION.encode() + b"A", "another account key"),
        (TOKEN.encode() + b"." + b"B" * 43, "another account key"),
        (KEY_AUTHORIZATION.encode() + b"x" * 90, "more than 128 bytes"),
        (b"x" * 1_000_000, "more than 128 bytes"),
    ],
)
async def test_another_body_is_an_incorrect_response(
    challenge_web_root: ChallengeWebRoot, body: bytes, words: str
) -> None:
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(body)
    found = await validator(port=challenge_web_root.port).validate(challenge("http-01"))
    assert words in invalid(found, "incorrectResponse", retryable=False)


async def test_no_octet_of_the_answer_is_told_to_the_applicant(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"aws_secret_access_key=hunter2")
    found = await validator(port=challenge_web_root.port).validate(challenge("http-01"))
    assert isinstance(found, Invalid)
    assert "hunter2" not in str(found.problem.document())
    assert "hunter2" not in str([attempt.json() for attempt in found.record])


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (403, False), (500, True), (503, True)])
async def test_another_status_is_an_incorrect_response(
    challenge_web_root: ChallengeWebRoot, status: int, retryable: bool
) -> None:
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(KEY_AUTHORIZATION.encode(), status)
    found = await validator(port=challenge_web_root.port).validate(challenge("http-01"))
    assert str(status) in invalid(found, "incorrectResponse", retryable=retryable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(challenge_web_root: ChallengeWebRoot, status: int) -> None:
    port = challenge_web_root.port
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", status, {"location": f"http://other.test:{port}/there"})
    challenge_web_root.pages["/there"] = Page(b"", 302, {"location": "/at/last?x=1"})
    challenge_web_root.pages["/at/last?x=1"] = Page(KEY_AUTHORIZATION.encode())
    names = Names()
    assert isinstance(await validator(port=port, resolver=names).validate(challenge("http-01")), Valid)
    assert names.asked == ["www.example.test", "other.test", "other.test"]


async def test_ten_redirects_are_followed_and_eleven_are_not(challenge_web_root: ChallengeWebRoot) -> None:
    checker = validator(port=challenge_web_root.port)
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", 302, {"location": "/1"})
    for number in range(1, 10):
        challenge_web_root.pages[f"/{number}"] = Page(b"", 302, {"location": f"/{number + 1}"})
    challenge_web_root.pages["/10"] = Page(KEY_AUTHORIZATION.encode())
    assert isinstance(await checker.validate(challenge("http-01")), Valid)
    challenge_web_root.pages["/10"] = Page(b"", 302, {"location": "/11"})
    challenge_web_root.pages["/11"] = Page(KEY_AUTHORIZATION.encode())
    assert "redirects" in invalid(await checker.validate(challenge("http-01")), "incorrectResponse", retryable=False)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/", "http://169.254.169.254/latest/", "http://db.test:5432/", "file:///etc/passwd"]
)
async def test_a_redirect_to_elsewhere_is_refused(challenge_web_root: ChallengeWebRoot, location: str) -> None:
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", 302, {"location": location})
    found = await validator(port=challenge_web_root.port).validate(challenge("http-01"))
    invalid(found, "connection", retryable=False)
    assert len(challenge_web_root.requests) == 1


async def test_a_redirect_without_a_location_is_an_incorrect_response(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", 302)
    found = await validator(port=challenge_web_root.port).validate(challenge("http-01"))
    invalid(found, "incorrectResponse", retryable=False)


async def test_a_redirect_to_https_is_followed_whatever_certificate_is_there(
    challenge_web_root: ChallengeWebRoot, tmp_path: Path
) -> None:
    server_names: list[str | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + KEY_AUTHORIZATION.encode())

    context = tls_context(tmp_path, certificate("wrong.test"), alpn=None)
    context.sni_callback = lambda _session, name, _context: server_names.append(name)
    async with serving(answer, tls=context) as port:
        location = f"https://secure.test:{port}/x"
        challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", 301, {"location": location})
        found = await validator(port=challenge_web_root.port, https_port=port).validate(challenge("http-01"))
    assert isinstance(found, Valid)
    assert server_names == ["secure.test"]


@pytest.mark.parametrize(
    ("octets", "short", "retryable"),
    [
        (b"", "connection", True),
        (b"HTTP/1.1 200 OK\r\nContent-", "connection", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "incorrectResponse", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "incorrectResponse", False),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 60_000, "incorrectResponse", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "incorrectResponse", False),
    ],
)
async def test_a_server_that_speaks_no_http_is_told_so(octets: bytes, short: str, retryable: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(octets)

    async with serving(answer) as port:
        invalid(await validator(port=port).validate(challenge("http-01")), short, retryable=retryable)


async def test_chunked_and_endless_bodies_are_read_as_far_as_needed() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        first, second = KEY_AUTHORIZATION[:50].encode(), KEY_AUTHORIZATION[50:].encode()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (first, second):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(answer) as port:
        assert isinstance(await validator(port=port).validate(challenge("http-01")), Valid)


async def test_nobody_there_is_a_connection_problem_to_be_tried_again() -> None:
    async with serving(never) as port:
        pass
    detail = invalid(await validator(port=port).validate(challenge("http-01")), "connection", retryable=True)
    assert f"127.0.0.1:{port}" in detail


@pytest.mark.parametrize("trickle", [False, True])
async def test_a_server_that_keeps_us_waiting_is_left_within_the_budget(trickle: bool) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(0.05)
            if trickle:
                writer.write(b"H")

    async with serving(answer) as port:
        begun = time.perf_counter()
        found = await validator(port=port, budget=0.5).validate(challenge("http-01"))
        assert time.perf_counter() - begun < 1.5
    assert isinstance(found, Invalid)


async def test_ipv4_is_tried_when_ipv6_does_not_answer(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    found = await validator(port=challenge_web_root.port, resolver=Names("::1", "127.0.0.1")).validate(
        challenge("http-01")
    )
    assert isinstance(found, Valid)
    assert [attempt.address for attempt in found.record if attempt.address] == ["::1", "127.0.0.1"]


# Where it does not go.


async def test_a_closed_address_is_never_connected_to(challenge_web_root: ChallengeWebRoot) -> None:
    policy = NetworkPolicy(denied=networks(["127.0.0.0/8"]))
    found = await validator(port=challenge_web_root.port, network=policy).validate(challenge("http-01"))
    invalid(found, "connection", retryable=False)
    assert challenge_web_root.requests == []


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
async def test_an_own_listener_is_never_connected_to(challenge_web_root: ChallengeWebRoot, kind: str) -> None:
    policy = NetworkPolicy(own_listeners=[(ip_address("0.0.0.0"), challenge_web_root.port)])
    found = await validator(port=challenge_web_root.port, network=policy).validate(challenge(kind))
    assert "listener of this server" in invalid(found, "connection", retryable=False)
    assert challenge_web_root.requests == []


async def test_a_closed_address_is_passed_over_for_an_open_one(challenge_web_root: ChallengeWebRoot) -> None:
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    names = Names("fe80::1", "169.254.169.254", "127.0.0.1")
    found = await validator(port=challenge_web_root.port, resolver=names).validate(challenge("http-01"))
    assert isinstance(found, Valid)


async def test_a_name_that_changes_its_address_between_look_ups_is_judged_by_each(
    challenge_web_root: ChallengeWebRoot,
) -> None:
    class Rebinding(Names):
        async def addresses(self, name: str) -> list[Address]:
            self.asked.append(name)
            return [ip_address("127.0.0.1" if len(self.asked) == 1 else "169.254.169.254")]

    challenge_web_root.pages[CHALLENGES + TOKEN] = Page(b"", 302, {"location": "/again"})
    names = Rebinding()
    found = await validator(port=challenge_web_root.port, resolver=names).validate(challenge("http-01"))
    invalid(found, "connection", retryable=False)
    assert len(names.asked) == len(challenge_web_root.requests) + 1


# dns-01


@pytest.fixture
def dns_checker(dns_server: DnsServer) -> Validator:
    return validator(resolver=DnsResolver(dns_server.host, dns_server.port, budget=2.0), budget=3.0)


VALUE = challenge("dns-01").digest_text()
RECORD = "_acme-challenge.www.example.test"


async def test_a_txt_record_with_the_digest_is_valid(dns_server: DnsServer, dns_checker: Validator) -> None:
    dns_server.set_txt(RECORD, VALUE)
    assert isinstance(await dns_checker.validate(challenge("dns-01")), Valid)


async def test_any_of_many_txt_records_may_match(dns_server: DnsServer, dns_checker: Validator) -> None:
    # Far over one UDP packet: the answer comes by TCP.
    dns_server.set_txt(RECORD, *(f"{n}" * 250 for n in range(20)), VALUE)
    assert isinstance(await dns_checker.validate(challenge("dns-01")), Valid)


async def test_an_alias_is_followed(dns_server: DnsServer, dns_checker: Validator) -> None:
    dns_server.set_cname(RECORD, "challenges.other.test")
    dns_server.set_txt("challenges.other.test", VALUE)
    assert isinstance(await dns_checker.validate(challenge("dns-01")), Valid)


async def test_an_alias_that_the_server_does_not_follow_is_followed_by_us(
    dns_server: DnsServer, dns_checker: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alias_only(said: object, name: str, kind: str) -> None:
        if name != "challenges.other.test":
            kind = "CNAME"
        original(said, name, kind)  # type: ignore[arg-type]

    original = dns_server._fill
    monkeypatch.setattr(dns_server, "_fill", alias_only)
    dns_server.set_cname(RECORD, "challenges.other.test")
    dns_server.set_txt("challenges.other.test", VALUE)
    assert isinstance(await dns_checker.validate(challenge("dns-01")), Valid)
    assert dns_server.queries == [(RECORD, "TXT"), ("challenges.other.test", "TXT")]


async def test_a_record_set_a_moment_ago_is_seen(dns_server: DnsServer, dns_checker: Validator) -> None:
    invalid(await dns_checker.validate(challenge("dns-01")), "dns", retryable=True)
    dns_server.set_txt(RECORD, "old")
    invalid(await dns_checker.validate(challenge("dns-01")), "incorrectResponse", retryable=True)
    dns_server.set_txt(RECORD, VALUE)
    assert isinstance(await dns_checker.validate(challenge("dns-01")), Valid)


async def test_a_failing_dns_server_is_a_dns_problem_within_the_budget(
    dns_server: DnsServer, dns_checker: Validator
) -> None:
    dns_server.failures[RECORD] = "SERVFAIL"
    invalid(await dns_checker.validate(challenge("dns-01")), "dns", retryable=True)
    dns_server.failures.clear()
    dns_server.delays[RECORD] = 10
    begun = time.perf_counter()
    invalid(await dns_checker.validate(challenge("dns-01")), "dns", retryable=True)
    assert time.perf_counter() - begun < 4


async def test_an_alias_loop_ends(dns_server: DnsServer, dns_checker: Validator) -> None:
    dns_server.set_cname(RECORD, "b.test")
    dns_server.set_cname("b.test", RECORD)
    invalid(await dns_checker.validate(challenge("dns-01")), "dns", retryable=True)


async def test_the_configured_resolver_finds_addresses_ipv6_first(dns_server: DnsServer) -> None:
    dns_server.set_a("both.test", "127.0.0.1")
    dns_server.set_aaaa("both.test", "::1")
    dns_server.set_a("four.test", "127.0.0.1")
    resolver = DnsResolver(dns_server.host, dns_server.port, budget=2.0)
    assert await resolver.addresses("both.test") == [IPv6Address("::1"), IPv4Address("127.0.0.1")]
    assert await resolver.addresses("four.test") == [IPv4Address("127.0.0.1")]
    with pytest.raises(NotShown) as refused:
        await resolver.addresses("none.test")
    assert refused.value.retryable


async def test_http_01_asks_the_configured_resolver(
    dns_server: DnsServer, challenge_web_root: ChallengeWebRoot
) -> None:
    dns_server.set_a(NAME.value, "127.0.0.1")
    challenge_web_root.tokens[TOKEN] = KEY_AUTHORIZATION
    settings = AcmeSettings(http_port=challenge_web_root.port, resolver=dns_server.address, timeout_seconds=5)
    assert isinstance(await build_validator(settings, own_listeners=()).validate(challenge("http-01")), Valid)


async def test_dns_01_shows_nothing_of_an_address() -> None:
    found = await validator().validate(challenge("dns-01", LOCAL))
    invalid(found, "unsupportedIdentifier", retryable=False)


async def test_a_name_that_does_not_exist_is_a_dns_problem() -> None:
    resolver = SystemResolver(threads=1)
    found = await validator(resolver=resolver).validate(challenge("http-01", Identifier("dns", "no-such-name.invalid")))
    invalid(found, "dns", retryable=True)
    resolver.close()


# tls-alpn-01

Made = tuple[bytes, bytes]
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def certificate(
    *names: str | IPv4Address,
    digest: bytes | None = None,
    oid: x509.ObjectIdentifier = ACME_IDENTIFIER,
    critical: bool = True,
    self_signed: bool = True,
) -> Made:
    """PEM of a certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = key if self_signed else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "challenge")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    if names:
        general = [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if digest is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, b"\x04\x20" + digest), critical=critical)
    made = builder.sign(signer, hashes.SHA256())
    return made.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def tls_context(directory: Path, made: Made, *, alpn: str | None = "acme-tls/1") -> ssl.SSLContext:
    (directory / "chain.pem").write_bytes(made[0] + made[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem")
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Says nothing and closes."""


DIGEST = challenge("tls-alpn-01").digest()


async def alpn(
    directory: Path, made: Made, identifier: Identifier = NAME, protocol: str | None = "acme-tls/1"
) -> Valid | Invalid:
    async with serving(never, tls=tls_context(directory, made, alpn=protocol)) as port:
        return await validator(port=port).validate(challenge("tls-alpn-01", identifier))


async def test_the_challenge_certificate_is_valid(tmp_path: Path) -> None:
    assert isinstance(await alpn(tmp_path, certificate(NAME.value, digest=DIGEST)), Valid)


async def test_the_name_in_it_may_be_written_in_capitals(tmp_path: Path) -> None:
    assert isinstance(await alpn(tmp_path, certificate("WWW.Example.TEST", digest=DIGEST)), Valid)


async def test_an_address_is_asked_for_by_its_reverse_name(tmp_path: Path) -> None:
    names: list[str | None] = []
    context = tls_context(tmp_path, certificate(IPv4Address("127.0.0.1"), digest=DIGEST))
    context.sni_callback = lambda _session, name, _context: names.append(name)
    async with serving(never, tls=context) as port:
        found = await validator(port=port).validate(challenge("tls-alpn-01", LOCAL))
    assert isinstance(found, Valid)
    assert names == ["1.0.0.127.in-addr.arpa"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: certificate(NAME.value), "no critical acmeIdentifier"),
        (lambda: certificate(NAME.value, digest=DIGEST, critical=False), "no critical acmeIdentifier"),
        (
            lambda: certificate(NAME.value, digest=DIGEST, oid=x509.ObjectIdentifier("1.3.6.1.5.5.7.1.30.1")),
            "no critical acmeIdentifier",
        ),
        (lambda: certificate(NAME.value, digest=bytes(32)), "not the digest"),
        (lambda: certificate(NAME.value, digest=DIGEST[:31]), "not the digest"),
        (lambda: certificate(digest=DIGEST), "exactly"),
        (lambda: certificate("other.test", digest=DIGEST), "exactly"),
        (lambda: certificate(NAME.value, "other.test", digest=DIGEST), "exactly"),
        (lambda: certificate(IPv4Address("127.0.0.1"), digest=DIGEST), "exactly"),
        (lambda: certificate(NAME.value, digest=DIGEST, self_signed=False), "not signed by its own key"),
    ],
)
async def test_a_certificate_that_is_wrong_in_one_way_is_an_incorrect_response(
    tmp_path: Path, made: Callable[[], Made], words: str
) -> None:
    wrong = made()
    if "own key" in words:
        # OpenSSL's server would not load a foreign key, and need not: the certificate alone is under test.
        encoded = x509.load_pem_x509_certificate(wrong[0]).public_bytes(Encoding.DER)
        with pytest.raises(NotShown, match=words):
            check_certificate(encoded, NAME, DIGEST)
        return
    assert words in invalid(await alpn(tmp_path, wrong), "incorrectResponse", retryable=False)


def test_a_certificate_of_another_version_shows_nothing() -> None:
    """The library refuses it by an exception of its own kind, and OpenSSL's handshake does not."""
    encoded = x509.load_pem_x509_certificate(certificate(NAME.value, digest=DIGEST)[0]).public_bytes(Encoding.DER)
    with pytest.raises(NotShown, match="cannot be read"):
        check_certificate(encoded.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"), 1), NAME, DIGEST)


async def test_a_name_is_not_shown_by_an_address_certificate(tmp_path: Path) -> None:
    found = await alpn(tmp_path, certificate(NAME.value, digest=DIGEST), LOCAL)
    invalid(found, "incorrectResponse", retryable=False)


@pytest.mark.parametrize("protocol", ["h2", None])
async def test_a_server_without_the_protocol_is_a_tls_problem(tmp_path: Path, protocol: str | None) -> None:
    found = await alpn(tmp_path, certificate(NAME.value, digest=DIGEST), protocol=protocol)
    invalid(found, "tls", retryable=True)


async def test_a_server_that_speaks_no_tls_is_a_tls_problem() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(answer) as port:
        invalid(await validator(port=port).validate(challenge("tls-alpn-01")), "tls", retryable=True)


async def test_a_server_that_never_shakes_hands_is_left_within_the_budget() -> None:
    async def answer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(answer) as port:
        begun = time.perf_counter()
        found = await validator(port=port, budget=0.5).validate(challenge("tls-alpn-01"))
        assert time.perf_counter() - begun < 1.5
    invalid(found, "connection", retryable=True)


@pytest.mark.client
async def test_a_challenge_certificate_served_by_openssl_is_valid(
    tmp_path: Path, program: Callable[[str], Path]
) -> None:
    made = certificate(NAME.value, digest=DIGEST)
    (tmp_path / "chain.pem").write_bytes(made[0] + made[1])
    async with serving(never) as port:
        pass
    server = subprocess.Popen(
        [program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", tmp_path / "chain.pem",
         "-key", tmp_path / "chain.pem", "-alpn", "acme-tls/1", "-quiet"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(100):
            found = await validator(port=port).validate(challenge("tls-alpn-01"))
            if isinstance(found, Valid):
                break
            await asyncio.sleep(0.05)
        assert isinstance(found, Valid)
    finally:
        server.kill()
        server.wait()


async def test_an_unknown_challenge_type_shows_nothing() -> None:
    found = await validator().validate(replace(challenge("http-01"), type="dns-nothing-01"))
    invalid(found, "unsupportedIdentifier", retryable=False)


async def test_interim_answers_are_passed_over() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        hints = b"HTTP/1.1 103 Early Hints\r\nLocation: /elsewhere\r\nLink: </style.css>\r\n\r\n"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" + hints)
        await writer.drain()
        body = KEY_AUTHORIZATION.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async with serving(answer) as port:
        assert isinstance(await validator(port=port).validate(challenge("http-01")), Valid)


async def test_octets_behind_a_complete_answer_are_no_part_of_it() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = KEY_AUTHORIZATION.encode()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body + b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\nmore")

    async with serving(answer) as port:
        assert isinstance(await validator(port=port).validate(challenge("http-01")), Valid)
