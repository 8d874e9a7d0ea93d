"""openssl's client and verifier agree with what we tell, in each state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.status.conftest import Client, StatusHouse
from tests.integration.status.test_documents import crl_of, duty_of, has
from troth.kit.clock import FakeClock, SystemClock
from troth.pki.pem import pem


@pytest.fixture
def clock() -> FakeClock:
    """At the present: openssl looks at the machine's clock."""
    return FakeClock(SystemClock().now())


async def run(*words: str | Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.client
async def test_openssl_agrees_before_during_and_after_a_hold(
    house: StatusHouse, client: Client, program: Callable[[str], Path], tmp_path: Path
) -> None:
    openssl = program("openssl")
    house.tasks.append(asyncio.create_task(duty_of(house).run(house.stop)))
    issued = await house.issue()
    files = {name: tmp_path / f"{name}.pem" for name in ("leaf", "issuer", "root", "crl")}
    files["leaf"].write_bytes(pem(issued.der))
    files["issuer"].write_bytes(house.mint.issuer.public_bytes(Encoding.PEM))
    files["root"].write_bytes(house.mint.root.public_bytes(Encoding.PEM))

    async def ocsp(*more: str, digest: str = "-sha1") -> str:
        code, output = await run(
            openssl, "ocsp", digest, "-issuer", files["issuer"], "-cert", files["leaf"], "-CAfile", files["root"],
            "-url", f"{client.http.base_url}/ocsp/issuing", *more,
        )  # fmt: skip
        assert code == 0, output
        assert "Response verify OK" in output
        assert "WARNING" not in output
        return output.split(f"{files['leaf']}: ")[1]

    async def verify(reason: x509.ReasonFlags | None) -> bool:
        crl = await crl_of(client, has(issued.serial, reason))
        files["crl"].write_bytes(crl.public_bytes(Encoding.PEM))
        code, _ = await run(
            openssl, "verify", "-crl_check", "-CRLfile", files["crl"], "-CAfile", files["root"],
            "-untrusted", files["issuer"], files["leaf"],
        )  # fmt: skip
        return code == 0

    assert (await ocsp()).startswith("good")
    assert (await ocsp("-no_nonce")).startswith("good")
    assert (await ocsp(digest="-sha256")).startswith("good")
    assert await verify(None)
    await house.hold(issued.id)
    await house.effective()
    told = await ocsp()
    assert told.startswith("revoked")
    assert "Reason: certificateHold" in told
    assert not await verify(x509.ReasonFlags.certificate_hold)
    await house.release(issued.id)
    await house.effective()
    assert (await ocsp()).startswith("good")
    assert await verify(None)
    await house.revoke(issued.id)
    await house.effective()
    assert "Reason: keyCompromise" in await ocsp()
    assert not await verify(x509.ReasonFlags.key_compromise)
