"""A whole Troth, started as a user starts it, with the applicants' web server and DNS beside it.

One per test process: a start costs seconds. Tests use names of their own under ``.test`` and may restart or kill
parts of it, if they leave it running (``troth.start()`` again).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.dns import DnsServer
from tests.support.webroot import ChallengeWebRoot

#: These end what hangs; a machine that is slow and busy takes a good part of them.
_START_SECONDS = 600
_STOP_SECONDS = 300
_COMMAND_SECONDS = 300
#: Seconds of a moment's delay that nobody is to notice: on a machine that is slow and busy they are longer.
_PATIENCE = {"TROTH__RADIUS__HOLD_BACK_MILLISECONDS": "10000", "TROTH__OCSP__PATIENCE_MILLISECONDS": "10000"}
#: Two of each, whatever the machine: what they must agree on (nonces, orders, tickets) is shown by every test.
_PROCESSES = {"TROTH__PROCESSES__WEB": "2", "TROTH__RADIUS__WORKERS": "2"}


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningTroth:
    """``troth up`` on a data directory of its own.

    Attributes:
        web_root: where http-01 looks (any name; every name below ``.test`` leads to 127.0.0.1).
        dns: the resolver that validation asks.
        tls_alpn_port: where tls-alpn-01 looks.
        radsec_port: where RADIUS over TLS is answered, for access servers that the authority `issuing` vouches for.
        environment: further environment of ``troth up``.
    """

    data: Path
    web_root: ChallengeWebRoot
    dns: DnsServer
    tls_alpn_port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = (
        "--https", "localhost:0", "--http", "127.0.0.1:0", "--admin", "localhost:0", "--radius", "127.0.0.1:0",
    )  # fmt: skip
    summary: dict[str, Any] = field(default_factory=dict)
    radsec_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def program(self) -> list[str]:
        """How to call this tree's ``troth``."""
        return [sys.executable, "-m", "troth"]

    @property
    def log_file(self) -> Path:
        """Standard error of all its processes."""
        return self.data.parent / f"{self.data.name}.log"

    @property
    def root(self) -> Path:
        """The root certificate, PEM."""
        return Path(self.summary["root_certificate"])

    @property
    def directory(self) -> str:
        """The ACME directory for servers."""
        return str(self.summary["acme_directories"]["tls-server"])

    def configure(self, text: str = "") -> None:
        """Write ``troth.toml``; ``text`` is added at its end."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        (self.data / "troth.toml").write_text(
            f"""[acme]
http_port = {self.web_root.port}
tls_alpn_port = {self.tls_alpn_port}
resolver = "{self.dns.address}"
retry_seconds = 1
{text}"""
        )

    def start(self) -> RunningTroth:
        """Start and wait until it is ready. Raises AssertionError with its log otherwise."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.program, "up", "--data", str(self.data), "--output", "json", *self.arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={
                    **os.environ,
                    **_PROCESSES,
                    **_PATIENCE,
                    "TROTH__RADSEC__LISTEN": f"127.0.0.1:{self.radsec_port}",
                    "TROTH__RADSEC__AUTHORITIES": "issuing",
                    **self.environment,
                },
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        line = b""
        deadline = time.monotonic() + _START_SECONDS
        while not line.endswith(b"\n"):
            line += self._process.stdout.read() or b""
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"troth up did not start:\n{self.log()[-4000:]}\n{line.decode()}")
            time.sleep(0.02)
        self.summary = json.loads(line)
        return self

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(_STOP_SECONDS)
        finally:
            self._close()

    def kill(self) -> None:
        """Kill the supervisor and everything below it, the database included, as a power cut would."""
        assert self._process is not None
        everything = [psutil.Process(self._process.pid), *self.processes()] if self.running else []
        for process in everything:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(everything, timeout=_STOP_SECONDS)
        self._process.wait(_STOP_SECONDS)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """All processes below the supervisor."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def role(self, name: str) -> list[psutil.Process]:
        """The processes of one role: ``web``, ``status``, ``radius``, ``worker``, ``signer``."""
        return [process for process in self.processes() if f"--role {name}" in _command_line(process)]

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text(errors="replace")

    def run(self, *arguments: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a ``troth`` command against it."""
        done = subprocess.run(
            [*self.program, *arguments, "--data", str(self.data)],
            input=input,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
            env={**os.environ, **self.environment},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"troth {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def tls(self) -> ssl.SSLContext:
        """A client context that trusts the root and nothing else."""
        return ssl.create_default_context(cafile=str(self.root))

    def get(self, url: str) -> tuple[int, bytes]:
        """Status and body of a GET, over http or our own https."""
        handlers = [urllib.request.HTTPSHandler(context=self.tls())]
        try:
            with urllib.request.build_opener(*handlers).open(url, timeout=_COMMAND_SECONDS) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def make_troth(data: Path, web_root: ChallengeWebRoot, dns: DnsServer, text: str = "") -> RunningTroth:
    """A configured Troth that has not been started."""
    troth = RunningTroth(data, web_root, dns, free_port())
    troth.configure(text)
    return troth


#: The shipped directories, and one that gives accounts to whoever has been enrolled.
_DIRECTORIES = """
[acme.directories.tls-server]
profiles = ["tls-server"]
[acme.directories.bound]
profiles = ["tls-server"]
requires = "external-account"
[acme.directories.devices]
profiles = ["device-identity"]
challenges = ["device-attest-01"]
identifiers = ["permanent-identifier", "hardware-module"]
[acme.directories.hosts]
profiles = ["mutual-tls"]
# Other systems of a test listen on loopback.
[egress]
networks = ["127.0.0.0/8"]
plain_http = true
"""


@pytest.fixture(scope="session")
def applicant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ChallengeWebRoot, DnsServer]]:
    """The applicants' web server and DNS, for the whole session."""
    web_root = ChallengeWebRoot(tmp_path_factory.mktemp("webroot"))
    dns = DnsServer()
    web_root.start()
    dns.start()
    dns.add_zone("test")
    dns.set_a("*.test", "127.0.0.1")
    yield web_root, dns
    web_root.stop()
    dns.stop()


@pytest.fixture(scope="session")
def troth(
    tmp_path_factory: pytest.TempPathFactory, applicant: tuple[ChallengeWebRoot, DnsServer]
) -> Iterator[RunningTroth]:
    """A running Troth, shared by the tests of this process."""
    web_root, dns = applicant
    running = make_troth(tmp_path_factory.mktemp("troth") / "data", web_root, dns, _DIRECTORIES)
    running.start()
    yield running
    if running.running:
        assert running.stop() == 0, running.log()[-4000:]
