"""A web process in other hands drives the signer directly, under a uid of its own: nothing out of bounds is signed.

The signer runs under its uid, the attacker under another that may speak to it and has the web role's secret. The
signer of this test notes every message that any of its keys signs; at the end the note holds the one certificate that
the attacker was entitled to, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from tests.support.attacker import SIGNED, Assault, Target
from tests.support.signing import authority_certificate, crl_tbs
from troth.audit.merkle import leaf_hash
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer.class_rules import bounds_of
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import SignerRefused

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root can run signer and attacker under two uids of their own; CI does"
    ),
]

SIGNER, WEB, STRANGER = 64_901, 64_902, 64_903

_PROGRAM = """
import os, sys, uvloop
from pathlib import Path
from troth.kit.log import configure
from troth.pki.keys import software
from troth.pki.signer.class_rules import Policy, ReservedNames
from troth.pki.signer.process import harden
from troth.pki.signer.server import SignerSettings, serve
data, socket, uid, web = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
noted = open(data / "signed.log", "ab", buffering=0)
made = software.signing_function
def noting(key):
    sign = made(key)
    def signing(message):
        noted.write(bytes(message).hex().encode() + b"\\n")
        return sign(message)
    return signing
software.signing_function = noting
harden()
configure(role="signer", level="error")
policy = Policy(ReservedNames(["radius.corp.example"]))
settings = SignerSettings(data, socket, "pki.example/ledger", frozenset({0, web}), policy)
os.umask(0)
uvloop.run(serve(settings, lambda: (socket.chmod(0o666), print("ready", flush=True))))
"""


@dataclass
class Besieged:
    """The signer under attack."""

    data: Path
    socket: Path
    keys: dict[str, Target] = field(default_factory=dict)

    def client(self, role: str) -> SignerClient:
        return SignerClient(self.socket, role, self.data / "secrets")

    def signed(self) -> list[bytes]:
        """Every message that was signed."""
        return [bytes.fromhex(line) for line in (self.data / "signed.log").read_text().split()]

    async def assault(self, uid: int, role: str) -> dict[str, str]:
        """Let the attacker loose."""
        secret = (self.data / "secrets" / f"{role}.secret").read_bytes() if role else b""
        assault = Assault(str(self.socket), uid, role, secret, self.keys)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.attacker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            output, _ = await child.communicate(msgspec.msgpack.encode(assault))
        assert child.returncode == 0
        return msgspec.json.decode(output, type=dict[str, str])


@pytest.fixture
async def besieged() -> AsyncIterator[Besieged]:
    # Not in pytest's directory, which nobody but root may enter.
    place = Path(tempfile.mkdtemp(prefix="troth-siege-"))
    place.chmod(0o755)
    data, run = place / "data", place / "run"
    for directory, mode in ((data, 0o700), (run, 0o755)):
        directory.mkdir()
        directory.chmod(mode)
        os.chown(directory, SIGNER, SIGNER)
    made = Besieged(data, run / "s.sock")
    arguments = (str(data), str(made.socket), str(SIGNER), str(WEB))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"ready\n"
        await _furnish(made)
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        shutil.rmtree(place)


async def _furnish(made: Besieged) -> None:
    """An authority for each class, one with name constraints, and a key of every other purpose."""
    now, found = datetime.now(UTC), dict[str, KeyMetadata]()
    constraints = x509.NameConstraints([x509.DNSName("leaf.example")], [x509.DNSName("vault.leaf.example")])
    async with made.client("setup") as setup, made.client("worker") as worker:
        for name in (*IssuerClass, "constrained", "unattached"):
            found[name] = key = await setup.generate_key(KeyPurpose.ISSUING)
            if name == "unattached":
                continue
            certificate = (
                authority_certificate(key.public_key, now, constraints=constraints, days=30)
                if name == "constrained"
                else authority_certificate(key.public_key, now)
            )
            classes = (IssuerClass.OPEN,) if name == "constrained" else (IssuerClass(name),)
            await setup.attach_authority(key.key_id, certificate, bounds_of(classes))
        for name, purpose in (
            ("ocsp", KeyPurpose.OCSP), ("radius-key", KeyPurpose.RADIUS), ("ra", KeyPurpose.RA),
            ("jwt", KeyPurpose.JWT),
        ):  # fmt: skip
            found[name] = await worker.generate_key(purpose)
        (found["notary"],) = await worker.list_keys(KeyPurpose.NOTARY)
    made.keys = {name: Target(key.key_id, key.public_key) for name, key in found.items()}


async def test_a_web_process_in_other_hands_gets_nothing_out_of_bounds_signed(besieged: Besieged) -> None:
    before = len(besieged.signed())
    results = await besieged.assault(WEB, "web")
    got = {name for name, result in results.items() if result == SIGNED}
    assert got == {"a good certificate"}
    # Each refused for a reason of its own, and none because something broke; who proves no role hears nothing.
    assert len(results) > 90
    assert {name for name, result in results.items() if result == "closed"} == {
        name for name in results if name.endswith("secret") or name == "a truncated frame"
    }
    assert {result.partition(".")[0] for result in results.values()} == {"signer", "keys", "closed", SIGNED}
    # What the signer's own note says: one signature, over the certificate that was within every limit.
    signed = besieged.signed()[before:]
    assert len(signed) == 1
    assert b"leaf.example" in signed[0]
    async with besieged.client("setup") as setup:
        keys = {key.key_id: key for key in await setup.list_keys()}
    assert len(keys) == len(besieged.keys)
    assert keys[besieged.keys["unattached"].key_id].limits is None


async def test_a_uid_that_is_not_allowed_is_not_even_greeted(besieged: Besieged) -> None:
    assert await besieged.assault(STRANGER, "") == {"a stranger's uid": "closed"}


async def test_the_attacker_cannot_read_what_the_signer_keeps(besieged: Besieged) -> None:
    program = (
        "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
        "try: os.listdir(sys.argv[1])\nexcept PermissionError: print('closed')"
    )
    for inside in ("keys", "secrets", "."):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(besieged.data / inside), str(WEB), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await child.communicate()
        assert output == b"closed\n"


async def test_a_worker_in_other_hands_rolls_neither_ledger_nor_crl_back(besieged: Besieged) -> None:
    key, now = besieged.keys["open"], datetime.now(UTC)
    async with besieged.client("worker") as worker:
        first = await worker.checkpoint(0, [leaf_hash(b"a"), leaf_hash(b"b")], now)
        await worker.sign_crl(key.key_id, crl_tbs(key.spki, now, number=7))
        before = len(besieged.signed())
        for old_size, leaves in ((0, [b"other"]), (1, [b"b2"]), (3, [b"c"])):
            answer = await worker.checkpoint(old_size, [leaf_hash(leaf) for leaf in leaves], now)
            assert (answer.extended, answer.size, answer.root) == (False, 2, first.root)
        refusals = []
        for tbs in (
            crl_tbs(key.spki, now, number=7),
            crl_tbs(key.spki, now, number=6),
            crl_tbs(key.spki, now, number=8, issuer=x509.Name([])),
            crl_tbs(key.spki, now, number=8, lasts=timedelta(days=400)),
            crl_tbs(key.spki, now, number=8, this_update=timedelta(days=-2)),
        ):
            with pytest.raises(SignerRefused) as caught:
                await worker.sign_crl(key.key_id, tbs)
            refusals.append(caught.value.code)
        for made in ("ocsp", "radius-key", "ra", "open"):
            with pytest.raises(SignerRefused) as caught:
                await worker.release_key(besieged.keys[made].key_id)
            assert caught.value.code == "signer.role"
        with pytest.raises(SignerRefused):
            await worker.generate_key(KeyPurpose.ISSUING)
    assert refusals[:2] == ["signer.crl_number"] * 2
    assert len(besieged.signed()) == before


async def test_a_radius_key_is_released_to_the_radius_role_and_an_ocsp_key_to_status_each_alone(
    besieged: Besieged,
) -> None:
    mine = {"status": "ocsp", "radius": "radius-key"}
    for role, own in mine.items():
        async with besieged.client(role) as client:
            assert await client.release_key(besieged.keys[own].key_id)
            for other in ("ocsp", "radius-key", "ra", "open"):
                if other != own:
                    with pytest.raises(SignerRefused):
                        await client.release_key(besieged.keys[other].key_id)
