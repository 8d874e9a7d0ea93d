"""The client against another maker's server: Debian's pebble, which refuses every fifth good nonce on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from troth.agent.config import identifiers, parse
from troth.agent.keys.files import FileKeys
from troth.agent.settings import WebRoot
from troth.agent.source import Request
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.client.acme import AcmeClient, AcmeError, ExternalBinding
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey
from troth.client.transport import Transport, trusting
from troth.kit.clock import SystemClock

pytestmark = pytest.mark.client

HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture(params=[False, True], ids=["open", "binding required"])
def binding(request: pytest.FixtureRequest) -> ExternalBinding | None:
    return ExternalBinding("kid-1", HMAC_KEY) if request.param else None


@pytest.fixture
def directory_url(
    tmp_path: Path, program: Callable[[str], Path], free_tcp_port_factory: Callable[[], int],
    binding: ExternalBinding | None,
) -> Iterator[str]:  # fmt: skip
    port = free_tcp_port_factory()
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "tls.pem", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{free_tcp_port_factory()}",
        "certificate": str(tmp_path / "tls.pem"),
        "privateKey": str(tmp_path / "key.pem"),
        "httpPort": 5002,
        "tlsPort": 5001,
        "externalAccountBindingRequired": binding is not None,
        "externalAccountMACKeys": {"kid-1": HMAC_KEY} if binding else {},
    }
    (tmp_path / "pebble.json").write_text(json.dumps({"pebble": config}))
    environment = {
        **os.environ, "PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20"
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [program("pebble"), "-config", tmp_path / "pebble.json"], env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 120
            while b"Listening on" not in (tmp_path / "log").read_bytes():
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield f"https://127.0.0.1:{port}/dir"
        finally:
            server.kill()
            server.wait()


@pytest.fixture
async def transport(directory_url: str, tmp_path: Path) -> AsyncIterator[Transport]:
    async with Transport(trusting(str(tmp_path / "tls.pem"))) as made:
        yield made


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_certificate_is_ordered_revoked_and_its_account_rekeyed_and_closed(
    directory_url: str, transport: Transport, binding: ExternalBinding | None, algorithm: str
) -> None:
    client = await AcmeClient.open(directory_url, key=SigningKey.generate(algorithm), transport=transport)
    account = await client.register(["mailto:admin@example.org"], binding=binding)
    assert account.created
    assert (await client.register(only_existing=True, binding=binding)).url == account.url

    order = await client.new_order([("dns", "a.example.org"), ("dns", "b.example.org")])
    for url in order.authorizations:
        authorization = await client.authorization(url)
        challenge = authorization.challenge("http-01")
        assert challenge is not None
        await client.answer(challenge)
        assert (await client.wait_authorization(url)).status == "valid"

    key = ec.generate_private_key(ec.SECP256R1())
    csr = certificate_request(key, dns=["a.example.org", "b.example.org"])
    order = await client.wait_order(await client.finalize(order, csr))
    leaf, *chain = x509.load_pem_x509_certificates(await client.certificate(order))
    assert chain
    assert leaf.public_key() == key.public_key()

    await client.change_key(SigningKey.generate("ES384"))
    assert (await client.account()).status == "valid"

    encoded = leaf.public_bytes(Encoding.DER)
    await client.revoke(encoded, 1, key=SigningKey.wrap(key))
    with pytest.raises(AcmeError) as refused:
        await client.revoke(encoded)
    assert refused.value.problem.short_type == "alreadyRevoked"
    assert refused.value.status == 400

    assert (await client.deactivate()).status == "deactivated"
    with pytest.raises(AcmeError):
        await client.account()


async def test_the_agent_keeps_a_certificate_with_it(
    directory_url: str, transport: Transport, binding: ExternalBinding | None, tmp_path: Path
) -> None:
    management = json.loads((tmp_path / "pebble.json").read_text())["pebble"]["managementListenAddress"]
    (tmp_path / "root.pem").write_bytes((await transport.request("GET", f"https://{management}/roots/0")).body)
    (tmp_path / "eab.key").write_text(HMAC_KEY)
    (tmp_path / "eab.key").chmod(0o600)
    bound = f'eab_key_id = "kid-1"\neab_key_file = "{tmp_path}/eab.key"' if binding else ""
    config = parse(f"""
    [issuer.pebble]
    directory = "{directory_url}"
    trust = "{tmp_path}/tls.pem"
    anchors = ["{tmp_path}/root.pem"]
    {bound}
    [certificate.web]
    names = ["a.example.org", "b.example.org"]
    purposes = ["server"]
    challenge = {{ kind = "webroot", path = "{tmp_path}" }}
    """)
    state = StateDirectory(tmp_path / "state")
    agent = Agent(config, state, SystemClock())
    keeper = agent.keepers["web"]
    assert await agent.once(), keeper.look().record.trouble
    look = await keeper.renew()

    assert look.meta is not None
    assert (look.meta.number, look.record.window) == (2, None), "it suggests no times"
    # It has no list of orders either, so one whose answer was lost is made again.
    chains = await agent.keepers["web"]._ways.source.obtain(
        Request(identifiers(("a.example.org",)), "", WebRoot(path=str(tmp_path))),
        FileKeys(tmp_path / "keys").create("one", "p256"), {"ordering": "yes"}, lambda _: None,
    )  # fmt: skip
    assert chains
    state.close()
