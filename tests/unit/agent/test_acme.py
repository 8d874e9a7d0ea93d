"""Certificates by ACME, with a server that says what the test wants to hear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.agents import root
from tests.support.clocks import START
from troth.agent import account
from troth.agent.account import Accounts
from troth.agent.acme import AcmeSource
from troth.agent.config import Identifier
from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.keys.files import FileKey, generate
from troth.agent.settings import DnsHook, IssuerSettings, WebRoot
from troth.agent.solvers.build import Solvers
from troth.agent.source import Request
from troth.client.acme import AcmeError
from troth.client.errors import TRANSPORT, TransportError
from troth.client.jose import b64url_decode
from troth.client.transport import HttpAnswer, Transport
from troth.kit.clock import FakeClock

BASE = "https://pki.example"
NAME = {"type": "dns", "value": "www.example.org"}
REQUEST = Request((Identifier("dns", "www.example.org"),), "", None)
KEY = FileKey("web", generate("p256"))
LEAF = root().issue(KEY.public_key, ["www.example.org"], START).decode()


class Server(Transport):
    """Answers by URL; a list of answers is said one after the other, the last one for ever."""

    def __init__(self) -> None:
        order = {"status": "valid", "identifiers": [NAME], "authorizations": [f"{BASE}/authz"],
                 "finalize": f"{BASE}/finalize", "certificate": f"{BASE}/certificate"}  # fmt: skip
        self.order = order
        self.said: dict[str, list[Any]] = {
            "/newAccount": [{"status": "valid"}],
            "/newOrder": [order],
            "/order": [order],
            "/account": [{"status": "valid", "orders": f"{BASE}/orders"}],
            "/orders": [{"orders": [f"{BASE}/order"]}],
            "/certificate": [b"first"],
        }
        self.asked: list[tuple[str, Any]] = []
        self.links: dict[str, tuple[str, ...]] = {}

    async def aclose(self) -> None:
        """There is no connection."""

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        path = url.removeprefix(BASE)
        where = {"/newAccount": "/account", "/newOrder": "/order"}.get(path, path)
        head = {"replay-nonce": ("n",), "location": (f"{BASE}{where}",), "link": self.links.get(path, ())}
        if path == "/directory":
            names = ("newNonce", "newAccount", "newOrder", "revokeCert", "renewalInfo")
            return HttpAnswer(200, head, msgspec.json.encode({name: f"{BASE}/{name}" for name in names}), url)
        if method == "HEAD":
            return HttpAnswer(200, head, b"", url)
        payload = b64url_decode(msgspec.json.decode(body)["payload"])
        self.asked.append((path, msgspec.json.decode(payload) if payload else None))
        answers = self.said[path]
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(said, Exception):
            raise said
        if isinstance(said, bytes):
            return HttpAnswer(200, head, said, url)
        status = said.get("status", 200) if "detail" in said else 200
        return HttpAnswer(status, head, msgspec.json.encode(said), url)

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)


def problem(kind: str, status: int = 400) -> dict[str, object]:
    return {"type": f"urn:ietf:params:acme:error:{kind}", "detail": kind, "status": status}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(account, "transport", lambda _settings: made)
    return made


@pytest.fixture
def source(server: Server, tmp_path: Path, clock: FakeClock) -> AcmeSource:
    accounts = Accounts("troth", IssuerSettings(directory=f"{BASE}/directory"), tmp_path)
    return AcmeSource(accounts, Solvers(clock), wait=5)


class Notes(list[dict[str, str]]):
    def remember(self, note: Mapping[str, str]) -> None:
        self.append(dict(note))


async def test_every_chain_that_the_server_has_is_brought(server: Server, source: AcmeSource) -> None:
    server.links["/certificate"] = tuple(f'<{BASE}/other{number}>;rel="alternate"' for number in range(9))
    server.said |= {f"/other{number}": [f"chain {number}".encode()] for number in range(9)}
    notes = Notes()

    chains = await source.obtain(REQUEST, KEY, {}, notes.remember)
    assert chains == [b"first", b"chain 0", b"chain 1", b"chain 2", b"chain 3"], "and no more than a few"
    assert notes == [{"ordering": "yes"}, {"order": f"{BASE}/order"}]


async def test_an_order_whose_answer_never_came_is_looked_for(server: Server, source: AcmeSource) -> None:
    pending = {**server.order, "status": "ready", "profile": "tls-server"}
    server.said["/newOrder"] = [TransportError(TRANSPORT, "cut off"), server.order]
    server.said["/order"] = [pending, pending, {**server.order, "status": "ready"}, server.order]
    server.said["/finalize"] = [server.order]
    notes = Notes()
    with pytest.raises(TransportError):
        await source.obtain(REQUEST, KEY, {}, notes.remember)

    assert await source.obtain(REQUEST, KEY, notes[-1], notes.remember)
    assert server.count("/newOrder") == 1
    assert server.count("/finalize") == 1
    assert notes[-1] == {"order": f"{BASE}/order"}


@pytest.mark.parametrize(
    "listed",
    [
        {"status": "valid"},
        {"status": "invalid"},
        {"status": "pending", "identifiers": [NAME, {"type": "dns", "value": "b.example.org"}]},
    ],
    ids=["it ended well", "it is dead", "it is for other names"],
)
async def test_an_order_that_is_not_the_lost_one_is_let_be(
    server: Server, source: AcmeSource, listed: dict[str, object]
) -> None:
    server.said["/orders"] = [{"orders": [f"{BASE}/other"]}]
    server.said["/other"] = [{**server.order, **listed}]
    assert await source.obtain(REQUEST, KEY, {"ordering": "yes"}, Notes().remember)
    assert server.count("/newOrder") == 1


async def test_a_server_that_has_no_list_of_orders_gets_another_one(server: Server, source: AcmeSource) -> None:
    for answer in ({"status": "valid"}, problem("malformed")):
        server.said["/account"] = [answer]
        assert await source.obtain(REQUEST, KEY, {"ordering": "yes"}, Notes().remember)
    assert server.count("/newOrder") == 2


@pytest.mark.parametrize("answer", [problem("malformed", 404), problem("unauthorized", 403)])
async def test_an_order_that_is_gone_is_made_anew(
    server: Server, source: AcmeSource, answer: dict[str, object]
) -> None:
    server.said["/gone"] = [answer]
    assert await source.obtain(REQUEST, KEY, {"order": f"{BASE}/gone"}, Notes().remember)
    assert server.count("/newOrder") == 1


async def test_a_server_that_is_in_trouble_keeps_its_order(server: Server, source: AcmeSource) -> None:
    server.said["/order"] = [problem("serverInternal", 503)]
    notes = Notes()
    with pytest.raises(AcmeError, match="serverInternal"):
        await source.obtain(REQUEST, KEY, {"order": f"{BASE}/order"}, notes.remember)
    assert (notes, server.count("/newOrder")) == ([], 0)


async def test_a_refused_name_of_the_old_certificate_does_not_cost_the_new_one(
    server: Server, source: AcmeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.agent.acme.cert_id", lambda _leaf: "name.of-it")
    renewing = Request(REQUEST.identifiers, "", None, LEAF)
    server.said["/newOrder"] = [problem("alreadyReplaced", 409), server.order]
    assert await source.obtain(renewing, KEY, {}, Notes().remember)
    orders = [payload for path, payload in server.asked if path == "/newOrder"]
    assert [order.get("replaces") for order in orders] == ["name.of-it", None]

    server.said["/newOrder"] = [problem("rateLimited", 429)]
    with pytest.raises(AcmeError, match="rateLimited"):
        await source.obtain(renewing, KEY, {}, Notes().remember)


async def test_a_certificate_without_a_name_is_not_named(server: Server, source: AcmeSource) -> None:
    assert await source.obtain(Request(REQUEST.identifiers, "", None, LEAF), KEY, {}, Notes().remember)
    assert [payload for path, payload in server.asked if path == "/newOrder"] == [{"identifiers": [NAME]}]


async def test_a_proof_that_failed_for_good_is_not_waited_for_again(
    server: Server, source: AcmeSource, tmp_path: Path
) -> None:
    server.said["/order"] = server.said["/newOrder"] = [{**server.order, "status": "pending"}]
    server.said["/authz"] = [{"identifier": NAME, "status": "invalid", "challenges": []}]
    notes = Notes()
    with pytest.raises(AgentError, match=r"proof for www\.example\.org is invalid"):
        await source.obtain(REQUEST, KEY, {"order": f"{BASE}/order"}, notes.remember)
    assert notes == [{}]


async def test_a_proof_that_cannot_be_given_here_is_told_with_what_could_be(
    server: Server, source: AcmeSource, tmp_path: Path
) -> None:
    challenges = [{"type": "http-01", "url": f"{BASE}/challenge", "status": "pending", "token": "t"}]
    server.said["/newOrder"] = [{**server.order, "status": "pending"}]
    server.said["/authz"] = [{"identifier": NAME, "status": "pending", "challenges": challenges}]
    for challenge, told in ((None, "no `challenge` is set"), (DnsHook(command=("x",)), "offers http-01, not dns-01")):
        with pytest.raises(AgentError, match=told) as refused:
            await source.obtain(Request(REQUEST.identifiers, "", challenge), KEY, {}, Notes().remember)
        assert refused.value.reason is CHALLENGE


async def test_a_validation_that_was_cut_short_is_waited_for_and_not_asked_for_twice(
    server: Server, source: AcmeSource, tmp_path: Path
) -> None:
    processing = [{"type": "http-01", "url": f"{BASE}/challenge", "status": "processing", "token": "t"}]
    server.said["/order"] = [{**server.order, "status": "pending"}, {**server.order, "status": "ready"}, server.order]
    server.said["/authz"] = [
        {"identifier": NAME, "status": status, "challenges": processing} for status in ("pending", "pending", "valid")
    ]
    server.said["/finalize"] = [server.order]
    request = Request(REQUEST.identifiers, "", WebRoot(path=str(tmp_path)))
    assert await source.obtain(request, KEY, {"order": f"{BASE}/order"}, Notes().remember)
    assert server.count("/challenge") == 0
