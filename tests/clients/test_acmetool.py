"""acmetool: a client that keeps the state it wants and comes to it again and again."""

from __future__ import annotations

import pytest

from tests.clients.conftest import Client

pytestmark = pytest.mark.client

_ANSWERS = """\
"acme-enter-email": "acmetool@example.org"
"acme-agreement:": true
"acmetool-quickstart-choose-server": "{directory}"
"acmetool-quickstart-choose-method": webroot
"acmetool-quickstart-webroot-path": "{webroot}"
"acmetool-quickstart-complete": true
"acmetool-quickstart-install-cronjob": false
"acmetool-quickstart-install-haproxy-script": false
"acmetool-quickstart-install-redirector-systemd": false
"acmetool-quickstart-key-type": ecdsa
"acmetool-quickstart-ecdsa-curve": nistp256
"""


def test_acmetool_reconciles_what_it_wants(client: Client) -> None:
    troth, state = client.troth, client.home / "acme"
    target = state / "conf" / "target"
    target.parent.mkdir(parents=True)
    target.write_text(
        f"request:\n  provider: {troth.directory}\n  key:\n    type: ecdsa\n  challenge:\n    webroot-paths:\n"
        f"      - {troth.web_root.challenge_directory}\n    http-self-test: false\n"
    )
    answers = client.home / "answers"
    answers.write_text(_ANSWERS.format(directory=troth.directory, webroot=troth.web_root.challenge_directory))

    def acmetool(*arguments: str) -> str:
        return client.run(
            "acmetool", "--state", state, "--hooks", client.home / "hooks", "--batch", "--response-file", answers,
            "--xlog.severity=debug", *arguments, environment={"SSL_CERT_FILE": str(troth.root)},
        )  # fmt: skip

    acmetool("want", "acmetool.test", "www.acmetool.test")
    chain = state / "live" / "acmetool.test" / "fullchain"
    leaf = client.judge(chain, "acmetool.test", "www.acmetool.test")
    acmetool("reconcile")
    assert client.judge(chain, "acmetool.test", "www.acmetool.test") == leaf, "it has what it wants"
