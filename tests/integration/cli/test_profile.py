"""``troth profile`` against the real application."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from tests.integration.cli.test_nouns import Run, run, served
from tests.support.dashboard import House
from troth.cli.main import NOT_FOUND

__all__ = ["run", "served"]

DEVICE = """\
name: client-device
description: A device, named as the directory names it.
extended_key_usage: [clientAuth]
key_usage: [digitalSignature]
lifetime: {default: 30d, max: 90d}
keys: [p256]
names: {max: 0}
subject:
  - CN: ${device.name}
san:
  - dns: ${device.name}.campus.example
"""


async def test_a_profile_is_compared_applied_previewed_and_issued_from(run: Run, house: House, tmp_path: Path) -> None:
    await house.fleet(6)
    listed = await run("profile", "list")
    assert "tls-server" in listed.out, listed.err
    file = tmp_path / "device.yaml"
    file.write_text(DEVICE)
    differs = await run("profile", "diff", "--file", str(file))
    assert "+names: {max: 0}" in differs.out, differs.err
    applied = await run("apply", "-f", str(file))
    assert "~ profile client-device: changed" in applied.out, applied.err
    assert (await run("profile", "show", "client-device")).out == DEVICE
    assert (await run("profile", "diff", "client-device")).out == differs.out.replace("as sent", "version 2")
    assert len((await run("profile", "history", "client-device")).out.splitlines()) == 3

    seen = await run("profile", "preview", "client-device", "laptop-01")
    assert seen.code == 0, seen.err
    assert "laptop-01.campus.example" in seen.out
    assert "Nothing was issued." in seen.out
    # Nobody says which names: the profile makes them.
    issued = await run("cert", "issue", "client-device", "laptop-01", "--out", str(tmp_path / "out"))
    assert issued.code == 0, issued.err
    certificate = x509.load_pem_x509_certificate((tmp_path / "out" / "laptop-01.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["laptop-01.campus.example"]
    assert certificate.subject.rfc4514_string() == "CN=laptop-01"

    file.write_text(DEVICE.replace("${device.name}.campus", "${device.udid}.campus"))
    await run("apply", "-f", str(file))
    missing = await run("profile", "preview", "client-device", "laptop-01")
    assert missing.code == 1
    assert "device.udid is not known" in missing.out
    refused = await run("cert", "issue", "client-device", "laptop-01", "--out", str(tmp_path / "none"))
    assert "device.udid is not known" in refused.err
    assert not list((tmp_path / "none").iterdir())
    assert (await run("profile", "show", "nothing")).code == NOT_FOUND
