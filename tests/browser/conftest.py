"""The dashboard in a real browser, over TLS, on the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.support.dashboard import House, sequencing
from troth.kit.clock import FakeClock
from troth.web.peercred import PeerCredProtocol

#: Three hours ago: the browser tells relative times by its own clock, so the fleet's past must be near. The same for
#: all tests of a process, so that they share what is made ready for that time.
_BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(_BEGIN)


def _identity(directory: Path) -> tuple[Path, Path]:
    """A certificate of localhost for a day, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "server.pem", directory / "server.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


@dataclass
class Site:
    """The served dashboard: its address, and everything that browsers complained about."""

    house: House
    url: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    async def open(self, **options: Any) -> Page:
        """A page in a fresh context whose complaints are kept."""
        context = await self.browser.new_context(ignore_https_errors=True, base_url=self.url, **options)
        self.contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)

        def complain(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{page.url}: {message.text}")

        page.on("console", complain)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        return page


@pytest.fixture
async def site(house: House, tmp_path: Path) -> AsyncIterator[Site]:
    """The dashboard on a free port of localhost, a sequencer behind it, and Chromium before it."""
    certificate, key = _identity(tmp_path)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            house.app, ssl_certfile=str(certificate), ssl_keyfile=str(key), log_level="warning",
            http=PeerCredProtocol, lifespan="on", timeout_graceful_shutdown=2,
        )
    )  # fmt: skip
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.02)
    async with sequencing(house), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        made = Site(house, f"https://localhost:{port}", browser)
        yield made
        for context in made.contexts:
            await context.close()
        await browser.close()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task
