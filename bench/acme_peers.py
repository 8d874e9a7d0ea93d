"""The ACME servers of others that ``bench.acme`` measures beside ours: step-ca from its Go module, Debian's pebble."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.acme_server import Server

_STEP_CA = "github.com/smallstep/certificates/cmd/step-ca@v0.30.2"


def _cache() -> Path:
    """Where programs that are built for benchmarks are kept: outside of the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "troth-bench"


def built_step_ca() -> Path | None:
    """step-ca, built once with the machine's Go; None where there is no Go, or nothing can be fetched."""
    program = _cache() / "step-ca-v0.30.2" / "step-ca"
    if program.exists():
        return program
    go = shutil.which("go")
    if go is None:
        return None
    environment = {**os.environ, "GOBIN": str(program.parent), "CGO_ENABLED": "0"}
    done = subprocess.run([go, "install", _STEP_CA], env=environment, capture_output=True, check=False)
    return program if done.returncode == 0 else None


def _openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


@contextmanager
def step_ca(directory: Path, dns_port: int, http_port: int) -> Iterator[Server | None]:
    """step-ca with its usual database (Badger) and P-256 keys, which validates against these ports; None without."""
    program = built_step_ca()
    if program is None:
        yield None
        return
    home = directory / "step-ca"
    home.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(home, "req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-days", "2", "-subj",
             "/CN=Bench Root", "-addext", "keyUsage=keyCertSign,cRLSign")  # fmt: skip
    _openssl(home, "req", *key, "-keyout", "issuing.key", "-out", "issuing.csr", "-subj", "/CN=Bench Issuing")
    (home / "ext").write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign,cRLSign\n")
    _openssl(home, "x509", "-req", "-in", "issuing.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
             "-days", "1", "-extfile", "ext", "-out", "issuing.pem")  # fmt: skip
    port = _free_port()
    config = {
        "root": str(home / "root.pem"), "crt": str(home / "issuing.pem"), "key": str(home / "issuing.key"),
        "address": f"127.0.0.1:{port}", "dnsNames": ["localhost", "127.0.0.1"], "logger": {"format": "text"},
        "db": {"type": "badgerv2", "dataSource": str(home / "db")},
        "authority": {"provisioners": [{"type": "ACME", "name": "acme"}]},
    }  # fmt: skip
    (home / "ca.json").write_text(json.dumps(config))
    command = [str(program), str(home / "ca.json"), "--resolver", f"127.0.0.1:{dns_port}", "--insecure"]
    command += ["--acme-http-port", str(http_port)]
    yield from _served(
        "step-ca",
        command,
        home,
        "Serving HTTPS",
        f"https://localhost:{port}/acme/acme/directory",
        home / "root.pem",
        {},
    )


@contextmanager
def pebble(directory: Path, ports: tuple[int, int] | None = None) -> Iterator[Server | None]:
    """Debian's pebble, without its deliberate obstacles; None where it is not installed.

    Args:
        ports: of the DNS and the web server that it validates http-01 against (it asks three times, as if from three
            places); without, it validates nothing and believes every challenge (``PEBBLE_VA_ALWAYS_VALID``).
    """
    program = shutil.which("pebble", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    home = directory / ("pebble-http-01" if ports else "pebble")
    home.mkdir()
    _openssl(home, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             "pebble.key", "-out", "pebble.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=IP:127.0.0.1")  # fmt: skip
    port = _free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}", "managementListenAddress": f"127.0.0.1:{_free_port()}",
        "certificate": "pebble.pem", "privateKey": "pebble.key", "tlsPort": 5001,
        "httpPort": ports[1] if ports else 5002,
    }  # fmt: skip
    (home / "pebble.json").write_text(json.dumps({"pebble": config}))
    command = [program, "-config", "pebble.json"]
    environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    if ports:
        command += ["-dnsserver", f"127.0.0.1:{ports[0]}"]
    else:
        environment["PEBBLE_VA_ALWAYS_VALID"] = "1"
    yield from _served(
        "pebble", command, home, "Listening on", f"https://127.0.0.1:{port}/dir", home / "pebble.pem", environment
    )


def _served(
    name: str, command: list[str], home: Path, ready: str, directory: str, trust: Path, environment: dict[str, str]
) -> Iterator[Server]:
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=home, env={**os.environ, **environment}, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 20
        while ready.encode() not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Server(name, directory, str(trust), lambda: {name: sum(psutil.Process(process.pid).cpu_times()[:2])})
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
