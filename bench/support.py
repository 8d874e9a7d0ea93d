"""What several benchmarks do alike: a signer of their own, an authority on it, CPU by process, a raw signature."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.issuers import authority_under, root_certificate
from troth.kit.clock import Clock
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.keys.model import KeyPurpose
from troth.pki.profile import shipped_profiles
from troth.pki.signer.client import SignerClient
from troth.store.pool import Database
from troth.store.unit import Unit

_SIGNER = """
import sys, uvloop
from pathlib import Path
from troth.kit.log import configure
from troth.pki.signer.server import SignerSettings, serve
configure(role="signer", level="error")
data = Path(sys.argv[1])
uvloop.run(serve(SignerSettings(data, data / "s.sock", "bench.example/ledger"), lambda: print("ready", flush=True)))
"""


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has spent so far, in user and system mode."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def raw_signature_us() -> float:
    """CPU of one P-256 signature over 600 octets in this process, the median of several rounds: for scale."""
    key, scheme = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    rounds = []
    for _ in range(7):
        begun = time.process_time()
        for _ in range(1000):
            key.sign(b"x" * 600, scheme)
        rounds.append((time.process_time() - begun) / 1000 * 1e6)
    return sorted(rounds)[3]


@contextmanager
def child(*words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that says ``ready`` on standard output once it serves; ended on leaving."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{words[0]} did not start")
        yield process
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def signer_process(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A signer on ``data``; its socket is ``data / "s.sock"``."""
    with child(sys.executable, "-c", _SIGNER, str(data)) as process:
        yield process


def signer_client(data: Path, role: str) -> SignerClient:
    """A client of :func:`signer_process`."""
    return SignerClient(data / "s.sock", role, data / "secrets")


async def make_authority(database: Database, data: Path, clock: Clock, profiles: tuple[str, ...]) -> x509.Certificate:
    """An authority ``issuing`` under a root, its key in the signer, and shipped profiles applied; its certificate."""
    async with signer_client(data, "setup") as setup:
        key = await setup.generate_key(KeyPurpose.ISSUING)
        root, root_key = root_certificate(clock.now())
        issuer = authority_under(root, root_key, key.public_key, clock.now())
        await setup.attach_authority(key.key_id, issuer.public_bytes(Encoding.DER))
    unit, base = Unit(), "http://pki.bench"
    urls = f"{base}/ca/issuing.cer", f"{base}/ocsp/issuing", f"{base}/crl/issuing.crl"
    for authority in (
        Authority(
            "root", "Bench Root", "root", None, root.public_bytes(Encoding.DER), None, "active", True,
            None, None, None, clock.now(),
        ),
        Authority(
            "issuing", "Bench Issuing", "issuing", "root", issuer.public_bytes(Encoding.DER), key.key_id, "active",
            True, *urls, clock.now(),
        ),
    ):  # fmt: skip
        add_authority(unit, authority, actor="bench")
    await database.commit(unit)
    catalogue = Catalogue(database, clock)
    for profile in profiles:
        await catalogue.apply_profile(shipped_profiles()[profile], actor="bench")
    return issuer
