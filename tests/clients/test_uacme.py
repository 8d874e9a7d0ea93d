"""uacme, which trusts the system's authorities alone, asks OCSP before it renews, and can change an account's key."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.support.programs import missing, need_file

pytestmark = pytest.mark.client

_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_HOOK = "/usr/share/uacme/uacme.sh"
_AS_IF_ALONE = ("--user", "--map-root-user", "--mount")


class Uacme:
    """uacme in a mount namespace of its own, where the system trusts Troth's root and nothing else."""

    def __init__(self, client: Client) -> None:
        self.client = client
        need_file(_HOOK, "uacme")
        need_file(str(_TRUSTED), "ca-certificates")
        unshare = str(client.program("unshare"))
        if subprocess.run([unshare, *_AS_IF_ALONE, "true"], capture_output=True, check=False).returncode != 0:
            missing("uacme needs a mount namespace to be told of a root, and this machine gives none")

    @property
    def account_key(self) -> bytes:
        return (self.client.home / "uacme" / "private" / "key.pem").read_bytes()

    def __call__(self, *command: str | Path, fails: bool = False) -> str:
        return self.client.run(
            "unshare", *_AS_IF_ALONE, "sh", "-c", f'mount --bind "$0" {_TRUSTED} && exec "$@"', self.client.troth.root,
            self.client.program("uacme"), "--verbose", "--yes", "--acme-url", self.client.troth.directory, "--confdir",
            self.client.home / "uacme", "--hook", _HOOK, *command,
            environment={"UACME_CHALLENGE_PATH": str(self.client.troth.web_root.challenge_directory)}, fails=fails,
        )  # fmt: skip


def test_uacme_obtains_renews_changes_its_accounts_key_and_revokes(client: Client) -> None:
    uacme = Uacme(client)
    names = ("uacme.test", "www.uacme.test")
    chain = client.home / "uacme" / names[0] / "cert.pem"
    uacme("--type", "EC", "new", "uacme@example.org")
    uacme("--type", "EC", "issue", *names)
    first = client.judge(chain, *names)
    # It leaves a certificate alone (exit 1) that has some days left and that the responder calls good.
    assert "OCSP certificate status is GOOD" in uacme("--days", "7", "issue", *names, fails=True)
    assert client.judge(chain, *names) == first

    old = uacme.account_key
    uacme("--type", "RSA", "newkey")
    assert uacme.account_key != old
    uacme("--force", "issue", *names)
    second = client.judge(chain, *names)
    assert second.serial_number != first.serial_number
    kept = client.home / "kept.pem"
    kept.write_bytes(chain.read_bytes())
    uacme("revoke", chain)
    client.revoked(second, kept)
    uacme("deactivate")
    assert "deactivated" in uacme("--force", "issue", *names, fails=True)
