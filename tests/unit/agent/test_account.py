"""The account at an issuer: made once, kept, found again; and the files that speak for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.agents import root
from troth.agent import account
from troth.agent.account import Accounts, anchors, directory_url, secret, transport
from troth.agent.acme import AcmeSource
from troth.agent.errors import ISSUER, AgentError
from troth.agent.keys.files import FileKey, generate
from troth.agent.settings import IssuerSettings
from troth.agent.solvers.build import Solvers
from troth.agent.source import Request
from troth.client.acme import AcmeError
from troth.client.errors import TRANSPORT, TransportError
from troth.client.transport import HttpAnswer, Transport
from troth.kit.clock import FakeClock

BASE = "https://pki.example"


class Server(Transport):
    """In the place of a network: an ACME server that knows one account, until it forgets it."""

    def __init__(self) -> None:
        self.registered: list[dict[str, object]] = []
        self.knows = True

    async def aclose(self) -> None:
        """There is no connection."""

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        names = ("newNonce", "newAccount", "newOrder", "revokeCert")
        said = {name: (f"{BASE}/{name}",) for name in ("replay-nonce", "location")}
        if url.endswith("/e/hush/directory"):
            raise TransportError(TRANSPORT, f"{url}: away")
        if url.endswith(("/directory", "/other")):
            return HttpAnswer(200, said, msgspec.json.encode({name: f"{BASE}/{name}" for name in names}), url)
        if url.endswith("/newAccount"):
            self.knows = True
            self.registered.append(msgspec.json.decode(body))
            return HttpAnswer(201, said, b'{"status":"valid"}', url)
        if not self.knows:
            problem = {"type": "urn:ietf:params:acme:error:accountDoesNotExist", "detail": "who?"}
            return HttpAnswer(400, said, msgspec.json.encode(problem), url)
        return HttpAnswer(200, said, b'{"status":"valid","contact":[]}', url)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(account, "transport", lambda _settings: made)
    return made


def accounts(tmp_path: Path) -> Accounts:
    return Accounts("troth", IssuerSettings(directory=f"{BASE}/directory"), tmp_path / "issuers" / "troth")


async def test_an_account_is_made_once_and_its_key_is_the_agents_alone(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        async with accounts(tmp_path).client() as client:
            assert client.account_url == f"{BASE}/location"
    key = tmp_path / "issuers" / "troth" / "account.pem"

    assert len(server.registered) == 1
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700


async def test_an_account_that_the_server_has_forgotten_is_asked_for_again_with_the_same_key(
    server: Server, tmp_path: Path, clock: FakeClock
) -> None:
    of = accounts(tmp_path)
    async with of.client() as client:
        before = client.key.public.thumbprint
    server.knows = False
    source = AcmeSource(of, Solvers(clock))
    with pytest.raises(AcmeError, match="accountDoesNotExist"):
        await source.obtain(Request((), "", None), FileKey("web", generate("p256")), {}, lambda _: None)
    async with of.client() as client:
        assert client.key.public.thumbprint == before
    assert len(server.registered) == 2


async def test_another_directory_has_another_account(server: Server, tmp_path: Path) -> None:
    async with accounts(tmp_path).client():
        pass
    known = tmp_path / "issuers" / "troth" / "account.json"
    known.write_text(known.read_text().replace("/directory", "/other"))
    async with accounts(tmp_path).client():
        pass
    assert len(server.registered) == 2


def test_secrets_are_one_line_and_their_content_is_not_told(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    place.write_text("  https://pki.example/acme/tls-server/e/hush/directory\n")
    assert directory_url(IssuerSettings(directory_file=str(place))).endswith("/e/hush/directory")
    for content in (b"", b"\n", b"hush\nhush", b"hush\xff"):
        place.write_bytes(content)
        with pytest.raises(AgentError, match="one line") as refused:
            secret(str(place))
        assert refused.value.reason is ISSUER
        assert "hush" not in str(refused.value)
    with pytest.raises(AgentError, match="no file"):
        secret(str(tmp_path / "none"))


def test_anchors_are_those_that_are_named_else_what_the_server_is_trusted_by(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(root().pem)
    (tmp_path / "two.pem").write_bytes(root().pem)
    one, two = str(tmp_path / "one.pem"), str(tmp_path / "two.pem")

    assert anchors(IssuerSettings(trust=one)) == root().pem
    assert anchors(IssuerSettings(trust=one, anchors=(one, two))).count(b"BEGIN") == 2
    with pytest.raises(AgentError, match="none"):
        anchors(IssuerSettings(anchors=(one, str(tmp_path / "none"))))


def test_what_the_server_is_trusted_by_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("nothing")
    for name in ("none.pem", "broken.pem"):
        with pytest.raises(AgentError, match=name):
            transport(IssuerSettings(trust=str(tmp_path / name)))


async def test_of_a_directory_that_is_a_secret_nothing_is_told(server: Server, tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "secret"
    place.write_text(f"{BASE}/acme/e/hush/directory")
    of = Accounts("troth", IssuerSettings(directory_file=str(place)), tmp_path / "issuers")

    assert of.shown(f"{BASE}/acme/e/hush/order/1 is dead") == f"{BASE}/…/order/1 is dead"
    with pytest.raises(TransportError) as refused:
        async with of.client():
            raise AssertionError("not reached")
    assert f"{BASE}/…/directory: away" in str(refused.value)
    assert "hush" not in str(refused.value) + refused.value.detail
    output = capsys.readouterr()
    assert "hush" not in output.out + output.err
