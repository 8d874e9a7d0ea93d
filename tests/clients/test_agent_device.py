"""A device proves itself by its TPM: agent, attestation CA, ACME and policy in one walk, with a TPM in software."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from tests.clients.test_agent import Host
from tests.support.running import RunningTroth
from tests.support.software_tpm import SoftwareTpm
from troth.agent.acme import _listed
from troth.agent.config import load
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.kit.clock import SystemClock

pytestmark = pytest.mark.client

SERIAL = "C02AGENT1"


@pytest.fixture
def host(troth: RunningTroth, tmp_path: Path, software_tpm: SoftwareTpm) -> Host:
    made = Host(tmp_path, troth)
    devices = tmp_path / "devices.yaml"
    devices.write_text(
        "source: agents\nusers:\n  - {name: agnes, enabled: true}\n"
        f"devices:\n  - {{name: laptop-agent, owner: agnes, managed: true, serial: {SERIAL}}}\n"
    )
    troth.run("apply", "-f", str(devices))
    base = troth.directory.split("/acme/")[0]
    made.configure(
        f'names = ["permanent-identifier:{SERIAL}"]\npurposes = ["client"]\n'
        f'key = {{ kind = "tpm", tcti = "{software_tpm.tcti}", attestation_ca = "{base}/tpm" }}\n'
        f'output = [{{ form = "key", path = "{tmp_path}/device.key" }}]',
        directory=f"{base}/acme/devices/directory",
    )
    return made


async def test_a_device_gets_its_identity_once_its_tpm_is_registered(host: Host, software_tpm: SoftwareTpm) -> None:
    state = StateDirectory(host.state)
    agent = Agent(load(host.config), state, SystemClock())
    keeper = agent.keepers["web"]
    try:
        look = await keeper.tend()
        assert look.record.trouble is not None
        assert look.record.trouble.code == "agent.attestation.refused"
        ek = host.home / "ek.der"
        ek.write_bytes(software_tpm.ek_certificate)
        register = ("tpm", "register", "--device", "laptop-agent", "--ek", str(ek), "--identifier", SERIAL)
        await asyncio.to_thread(host.troth.run, *register)
        look = await keeper.renew()
        assert (look.record.trouble, look.attempt) == (None, None)
        assert look.leaf is not None
        async with agent._accounts["troth"].client() as client:
            assert len(await _listed(client)) == 1, "the order that waited for the registration is filled"
        assert (host.home / "device.key").read_bytes().startswith(b"-----BEGIN TSS2 PRIVATE KEY")
        names = look.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [identity] = names.get_values_for_type(x509.OtherName)
        assert identity.type_id.dotted_string == "1.3.6.1.5.5.7.8.3"
        assert SERIAL.encode() in identity.value

        serial = look.leaf.serial_number
        look = await keeper.renew()
        assert look.leaf is not None
        assert look.leaf.serial_number != serial
        said = (await asyncio.to_thread(host.troth.run, "why", f"{serial:x}")).stdout
        assert "evidence.key_assurance" in said
        assert "attested" in said
    finally:
        state.close()
