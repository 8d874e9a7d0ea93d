"""From a process that asks a socket to Troth's engine and back: the agent's service, its door, a real SPIFFE client."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from spiffe import JwtBundle, JwtSvid, TrustDomain, WorkloadApiClient
from spiffe.workloadapi.errors import FetchJwtSvidError, FetchX509SvidError

from tests.support.software_tpm import SoftwareTpm, tpm_of
from tests.support.workloads import BASE, Workloads
from troth.agent.config import parse
from troth.agent.door.client import AgentDoor, Identity, Refused, Unavailable, identity_at
from troth.agent.door.errors import IDENTITY
from troth.agent.errors import AgentError
from troth.agent.keys.tpm.keys import TpmKeys
from troth.agent.services import Host, build_services
from troth.client.jose import SigningKey
from troth.client.transport import Transport
from troth.enroll.workload.jwt_keys import JwtRotation

CONFIG = f"""
[issuer.troth]
directory = "{BASE}/acme/mutual-tls/directory"
[certificate.node]
names = ["node-1.corp.example"]
[spiffe]
server = "{BASE}"
certificate = "node"
socket = "SOCKET"
poll_seconds = 1
[[spiffe.workload]]
name = "shop"
selectors = ["unix:uid:{os.getuid()}"]
[[spiffe.workload]]
name = "vault"
selectors = ["unix:uid:{os.getuid()}", "unix:path:/nowhere"]
"""


def installed(workloads: Workloads, directory: Path) -> Path:
    directory.mkdir()
    agent = workloads.agent
    leaf = x509.load_der_x509_certificate(agent.der).public_bytes(Encoding.PEM)
    (directory / "leaf.pem").write_bytes(leaf)
    key = agent.key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "key.pem").write_bytes(key)
    return directory


def held(directories: dict[str, Path]) -> Callable[[str], Identity]:
    """The identity of a certificate whose key lies beside it, as the agent gives it to its services."""

    def identity(name: str) -> Identity:
        if name not in directories:
            raise AgentError(IDENTITY, f"there is no certificate {name} yet")
        return identity_at(directories[name], key_of(directories[name]))

    return identity


def key_of(directory: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((directory / "key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@contextlib.asynccontextmanager
async def service(workloads: Workloads, tmp_path: Path, directories: dict[str, Path]) -> AsyncIterator[Any]:
    config = parse(CONFIG.replace("SOCKET", str(tmp_path / "run" / "w.sock")))
    transport = workloads.transport()
    clock = workloads.mint.clock
    host = Host(
        config, clock, lambda name: tmp_path / name, lambda: directories, held(directories), lambda _: transport
    )
    (made,) = build_services(host)
    stop = asyncio.Event()
    running = asyncio.create_task(made.run(stop))
    while not (tmp_path / "run" / "w.sock").exists():
        assert not running.done(), running.exception()
        await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        stop.set()
        await running


async def fetch(tmp_path: Path) -> Any:
    def run() -> Any:
        with WorkloadApiClient(f"unix://{tmp_path / 'run' / 'w.sock'}") as client:
            return client.fetch_x509_svid()

    return await asyncio.to_thread(run)


async def test_a_process_gets_the_identity_that_directory_and_policy_give_it(
    workloads: Workloads, tmp_path: Path
) -> None:
    directories = {"node": installed(workloads, tmp_path / "node")}
    async with service(workloads, tmp_path, directories) as made:
        svid = await fetch(tmp_path)
        assert str(svid.spiffe_id) == "spiffe://corp.example/production/shop"
        assert made.status()["workloads"]["shop"]["trouble"] is None
        await workloads.hold("workload", "shop")
        workloads.mint.clock.advance(timedelta(seconds=2))
        while made.status()["workloads"]["shop"]["spiffe_id"] is not None:
            await asyncio.sleep(0.05)
        with pytest.raises(FetchX509SvidError, match="no identity"):
            await fetch(tmp_path)
    assert not (tmp_path / "run" / "w.sock").exists()


async def test_a_process_gets_tokens_that_anybody_can_hold_against_the_bundle(
    workloads: Workloads, tmp_path: Path
) -> None:
    # The real client looks at the wall clock, so the server's is set by it.
    workloads.mint.clock.advance(datetime.now(UTC) - workloads.mint.clock.now())
    rotation = JwtRotation(workloads.mint.database, workloads.tokens, workloads.mint.clock)  # type: ignore[arg-type]
    await rotation.run_once()
    workloads.agent = await workloads.enrolled("node-1")
    async with service(workloads, tmp_path, {"node": installed(workloads, tmp_path / "node")}):
        socket = f"unix://{tmp_path / 'run' / 'w.sock'}"

        def run() -> Any:
            with WorkloadApiClient(socket) as client:
                made = client.fetch_jwt_svid({"https://db.corp.example"})
                seen = client.validate_jwt_svid(made.token, "https://db.corp.example")
                assert seen.spiffe_id == made.spiffe_id
                return made

        made = await asyncio.to_thread(run)
        assert str(made.spiffe_id) == "spiffe://corp.example/production/shop"
        status, told = await workloads.call("/workload/bundle", b"", method="GET")
        assert status == 200
        # The published bundle, as a reader elsewhere takes it: with keys of both kinds in it.
        keys = {"keys": [one for one in told["keys"] if one["use"] == "jwt-svid"]}
        bundle = JwtBundle.parse(TrustDomain("corp.example"), msgspec.json.encode(keys))
        JwtSvid.parse_and_validate(made.token, bundle, {"https://db.corp.example"})
        await workloads.hold("workload", "shop")

        def again() -> None:
            with WorkloadApiClient(socket) as client:
                client.fetch_jwt_svid({"https://another.corp.example"})

        with pytest.raises(FetchJwtSvidError, match="no identity"):
            await asyncio.to_thread(again)


async def test_a_node_without_a_certificate_yet_is_told_so(workloads: Workloads, tmp_path: Path) -> None:
    async with service(workloads, tmp_path, {}) as made:
        (tmp_path / "run").chmod(0o755)
        with pytest.raises(FetchX509SvidError):
            await fetch(tmp_path)
        assert "no certificate node yet" in made.status()["workloads"]["shop"]["trouble"]


async def test_the_door_says_what_is_final_and_what_is_not(workloads: Workloads, tmp_path: Path) -> None:
    directory = installed(workloads, tmp_path / "node")
    identity = identity_at(directory, key_of(directory))
    door = AgentDoor(BASE, workloads.transport(), lambda: identity)
    assert (await door.ask("/workload/standing", {"certificates": []}))["ended"] == []
    with pytest.raises(Refused, match=r"workload\.request") as refused:
        await door.ask("/workload/svid", {"workload": "nobody"})
    assert refused.value.facts["code"] == "workload.request"
    with pytest.raises(Unavailable, match="404"):
        await door.ask("/somewhere", {})
    door._nonce = "used before"  # a nonce of another life is replaced without a word
    assert (await door.ask("/workload/standing", {"certificates": []}))["ended"] == []
    other = AgentDoor(BASE, workloads.transport(), lambda: Identity(b"another", SigningKey.generate()))
    with pytest.raises(Refused, match=r"workload\.node\.unknown"):
        await other.ask("/workload/standing", {"certificates": []})
    away = AgentDoor("https://127.0.0.1:1", Transport(), lambda: identity)
    with pytest.raises(Unavailable):
        await away.ask("/workload/standing", {})


def test_an_identity_is_a_certificate_with_its_own_key(workloads: Workloads, tmp_path: Path) -> None:
    directory = installed(workloads, tmp_path / "node")
    assert identity_at(directory, key_of(directory)).certificate == workloads.agent.der
    # Renewed in between: the one's key and the other's certificate must not go out as one.
    with pytest.raises(AgentError, match="not that of the certificate"):
        identity_at(directory, ec.generate_private_key(ec.SECP256R1()))
    (directory / "leaf.pem").write_text("junk")
    with pytest.raises(AgentError, match=r"agent\.identity"):
        identity_at(directory, workloads.agent.key.private_key)
    (directory / "leaf.pem").unlink()
    with pytest.raises(AgentError, match=r"no leaf\.pem"):
        identity_at(directory, workloads.agent.key.private_key)


async def test_a_key_in_a_tpm_signs_for_the_agent(
    workloads: Workloads, software_tpm: SoftwareTpm, tmp_path: Path
) -> None:
    key = TpmKeys(tmp_path / "keys", tpm_of(software_tpm)).create("node", "p256").private_key()
    agent = await workloads.enrolled("node-1", key=SigningKey.wrap(key))
    door = AgentDoor(BASE, workloads.transport(), lambda: Identity(agent.der, SigningKey.wrap(key)))
    assert (await door.ask("/workload/standing", {"certificates": []}))["ended"] == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('certificate = "node"', 'certificate = "other"', "no certificate.other"),
        ("[spiffe]", '[spiffe]\nissuer = "other"', "no issuer.other"),
        ('name = "vault"', 'name = "shop"', "twice"),
        ('"unix:path:/nowhere"', '"k8s:sa:shop"', "need \\[spiffe.kubernetes\\]"),
        ('"unix:path:/nowhere"', '"unix:shell:zsh"', "selectors"),
        (f'"unix:uid:{os.getuid()}", "unix:path:/nowhere"', '"unix:path:/nowhere"', "anybody may run"),
        ("[[spiffe.workload]]", "[spiffe.kubernetes]\n[[spiffe.workload]]", "one of kubelet and pods_file"),
        ('server = "https', 'server = "http', "server"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(AgentError, match=told):
        parse(CONFIG.replace("SOCKET", "/run/w.sock").replace(old, new, 1))
