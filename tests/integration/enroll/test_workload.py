"""The workload door: what an agent gets with its own certificate, and all that it does not get."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.refusals import FENCE, told_without_a_traceback
from tests.support.workloads import BASE, JOSE, Agent, Workloads
from troth.client.csr import certificate_request
from troth.client.jose import SigningKey, b64url_encode
from troth.enroll.workload.routes import BUNDLE, NONCE, STANDING, SVID
from troth.pki.errors import CLOCK_SKEW, GateRefused
from troth.trust.model import Kind
from troth.trust.standing import Standing


def leaf(said: dict[str, Any]) -> x509.Certificate:
    return x509.load_der_x509_certificate(base64.b64decode(said["chain"][0]))


def sha256(said: dict[str, Any]) -> str:
    return hashlib.sha256(base64.b64decode(said["chain"][0])).hexdigest()


async def test_an_agent_gets_an_svid_of_minutes_for_a_workload_of_its_node(workloads: Workloads) -> None:
    status, said = await workloads.svid("shop", selectors=["unix:uid:1000"])
    assert status == 200, said
    assert said["spiffe_id"] == "spiffe://corp.example/production/shop"
    certificate = leaf(said)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [said["spiffe_id"]]
    assert certificate.not_valid_after_utc - workloads.mint.clock.now() <= timedelta(minutes=15)
    assert base64.b64decode(said["roots"][0]) == workloads.mint.root.public_bytes(Encoding.DER)
    assert len(said["chain"]) == 2
    certificate.verify_directly_issued_by(workloads.mint.issuer)
    row = await workloads.mint.database.fetchrow("SELECT snapshot FROM decision ORDER BY id DESC LIMIT 1")
    assert row is not None
    values = {one["path"]: one["value"] for one in msgspec.json.decode(row["snapshot"])["values"]}
    assert values["evidence.node"] == "node-1"
    assert values["evidence.selectors"] == ["unix:uid:1000"]
    assert values["evidence.node_attested"] is False


async def test_a_shorter_life_may_be_asked_for_and_a_longer_one_is_cut(workloads: Workloads) -> None:
    now = workloads.mint.clock.now()
    _, short = await workloads.svid("shop", lifetime_seconds=300)
    _, long = await workloads.svid("shop", lifetime_seconds=86_400)
    assert leaf(short).not_valid_after_utc - now <= timedelta(minutes=5)
    assert leaf(long).not_valid_after_utc - now <= timedelta(minutes=15)


_WHOSE: list[tuple[str, str | None]] = [
    ("cart", None),  # by a group of the node
    ("vault", "enroll.refused"),  # another node's
    ("homeless", "enroll.refused"),  # nobody said where it runs: unknown is not good
    ("plain", "enroll.refused"),  # no trust domain
    ("nobody", "workload.unknown"),
    ("node-1", "workload.unknown"),  # a device is no workload
]


async def test_the_directory_says_which_workloads_are_a_nodes(workloads: Workloads) -> None:
    for workload, code in _WHOSE:
        status, said = await workloads.svid(workload)
        assert (status, said.get("code")) == ((200, None) if code is None else (403, code)), workload


async def test_a_hold_of_node_or_workload_ends_what_was_issued_and_what_is_asked(workloads: Workloads) -> None:
    _, shop = await workloads.svid("shop")
    _, cart = await workloads.svid("cart")
    status, said = await workloads.ask(STANDING, {"certificates": [sha256(shop), sha256(cart)]})
    assert (status, said["ended"]) == (200, [])
    await workloads.hold("workload", "shop")
    status, said = await workloads.ask(STANDING, {"certificates": [sha256(shop), sha256(cart)]})
    assert (status, said["ended"]) == (200, [sha256(shop)])
    assert (await workloads.svid("shop"))[1]["code"] == "enroll.refused"
    await workloads.hold("device", "node-1")
    # The node's own certificate is held with it, so that the agent itself is not heard any more …
    assert (await workloads.ask(STANDING, {"certificates": []}))[1]["code"] == "workload.node.not_good"
    # … and the SVIDs that it brought in are held as well.
    held = await workloads.mint.database.fetchval("SELECT count(*) FROM certificate WHERE status = 'held'")
    assert held == 3


async def test_a_node_that_is_restricted_gets_nothing_new(workloads: Workloads) -> None:
    node = await workloads.subjects.find(Kind.DEVICE, "node-1")
    assert node is not None
    await workloads.orders.set_standing(node.id, Standing.RESTRICTED, person="alice", reason="look")
    assert (await workloads.svid("shop"))[1]["code"] == "enroll.refused"


async def test_another_nodes_svid_is_not_told_of(workloads: Workloads) -> None:
    _, shop = await workloads.svid("shop")
    other = await workloads.enrolled("node-2")
    _, said = await workloads.ask(STANDING, {"certificates": [sha256(shop), "00" * 32]}, agent=other)
    assert said["ended"] == [sha256(shop), "00" * 32]


async def test_only_a_good_certificate_of_an_agents_profile_signs(workloads: Workloads) -> None:
    server = await workloads.enrolled("node-1", profile="tls-server")
    assert (await workloads.svid("shop", agent=server))[1]["code"] == "workload.node.profile"
    workloads.mint.clock.advance(timedelta(days=400))
    assert (await workloads.svid("shop"))[1]["code"] == "workload.node.not_good"


async def test_who_knows_a_certificate_and_not_its_key_learns_nothing_of_it(workloads: Workloads) -> None:
    """Known or not, of an agent's profile or not, good, held or out of date: one answer, word for word."""
    server = await workloads.enrolled("node-1", profile="tls-server")
    held = await workloads.enrolled("node-2")
    await workloads.hold("device", "node-2")
    stranger = SigningKey.generate()
    answers = []
    for der in (workloads.agent.der, server.der, held.der, b"no certificate of ours"):
        for key in (stranger, SigningKey.generate("EdDSA")):
            status, said = await workloads.svid("shop", agent=Agent(key, der))
            answers.append((status, said["code"], said["detail"]))
    workloads.mint.clock.advance(timedelta(days=400))
    status, said = await workloads.svid("shop", agent=Agent(stranger, workloads.agent.der))
    answers.append((status, said["code"], said["detail"]))
    assert set(answers) == {answers[0]}
    assert answers[0][:2] == (403, "workload.node.unknown")


async def test_an_svid_makes_nobody_an_agent(workloads: Workloads) -> None:
    key = SigningKey.generate()
    csr = b64url_encode(certificate_request(key.private_key))
    _, shop = await workloads.svid("shop", csr=csr)
    agent = Agent(key, base64.b64decode(shop["chain"][0]))
    assert (await workloads.svid("shop", agent=agent))[1]["code"] == "workload.node.profile"


async def test_a_node_that_left_the_directory_is_nobody(workloads: Workloads) -> None:
    await workloads.directory.apply(await workloads.directory.plan("devices: []", prune=True), actor="admin:test")
    assert (await workloads.svid("shop"))[1]["code"] == "workload.node.subject"


async def test_a_signature_counts_once_and_for_one_door(workloads: Workloads) -> None:
    agent, nonce = workloads.agent, workloads.nonces.issue()
    body = agent.signed(BASE + STANDING, nonce, {"certificates": []})
    assert (await workloads.call(SVID, body))[1]["code"] == "workload.request"
    assert (await workloads.call(STANDING, body))[0] == 200
    assert (await workloads.call(STANDING, body))[1]["code"] == "workload.nonce"
    for header in ({"url": None}, {"nonce": None}, {"x5t#S256": None}, {"alg": "none"}, {"alg": "HS256"}):
        body = agent.signed(BASE + STANDING, workloads.nonces.issue(), {"certificates": []}, **header)
        assert (await workloads.call(STANDING, body))[0] == 400
    body = agent.signed(BASE + STANDING, workloads.nonces.issue(), {"certificates": []}, **{"x5t#S256": "=="})
    assert (await workloads.call(STANDING, body))[1]["code"] == "workload.request"
    assert (await workloads.call(STANDING, body, kind="application/json"))[1]["code"] == "workload.request"


async def test_what_is_asked_is_read_strictly(workloads: Workloads) -> None:
    for payload in (b"", b"[]", {"workload": "shop"}, {"workload": "shop", "csr": "!"}, {"certificates": ["zz"]}):
        assert (await workloads.ask(SVID, payload))[1]["code"] == "workload.request"
    assert (await workloads.svid("shop", more=1))[1]["code"] == "workload.request"
    assert (await workloads.svid("sh\x00p"))[1]["code"] == "workload.request"
    assert (await workloads.svid("shop", selectors=["unix:uid:1\n"]))[1]["code"] == "workload.request"
    assert (await workloads.svid("shop", lifetime_seconds=1))[1]["code"] == "workload.request"
    assert (await workloads.ask(SVID, {"workload": "shop", "csr": "AAAA"}))[1]["code"] == "pki.csr.malformed"
    too_many = {"certificates": ["00" * 32] * 300}
    assert (await workloads.ask(STANDING, too_many))[1]["code"] == "workload.request"


async def test_each_agent_has_its_allowance(workloads: Workloads) -> None:
    for _ in range(20):
        assert (await workloads.ask(STANDING, {"certificates": []}))[0] == 200
    assert (await workloads.ask(STANDING, {"certificates": []}))[1]["code"] == "workload.too_many"
    other = await workloads.enrolled("node-2")
    assert (await workloads.ask(STANDING, {"certificates": []}, agent=other))[0] == 200
    workloads.mint.clock.advance(timedelta(minutes=1))
    assert (await workloads.ask(STANDING, {"certificates": []}))[0] == 200


async def test_what_fails_below_is_told_as_an_internal_error(workloads: Workloads) -> None:
    workloads.mint.interlock.refusal = GateRefused(CLOCK_SKEW, "by a lot")
    status, said = await workloads.svid("shop")
    assert (status, said["code"]) == (503, "internal.error")
    assert "by a lot" not in str(said)


async def test_a_fenced_installation_refuses_and_the_log_has_no_failure(workloads: Workloads) -> None:
    workloads.mint.interlock.refusal = FENCE
    with told_without_a_traceback("workload.failed"):
        status, said = await workloads.svid("shop")
    assert (status, said["code"]) == (503, "internal.error")


async def test_everybody_may_read_the_bundle_and_take_a_nonce(workloads: Workloads) -> None:
    status, said = await workloads.call(BUNDLE, b"", method="GET")
    assert status == 200
    assert said["spiffe_refresh_hint"] == 300
    (key,) = said["keys"]
    assert (key["use"], key["kty"], key["crv"]) == ("x509-svid", "EC", "P-256")
    assert base64.b64decode(key["x5c"][0]) == workloads.mint.root.public_bytes(Encoding.DER)
    status, headers = await workloads.call(NONCE, b"", method="GET")
    assert (status, workloads.nonces.consume(headers[b"replay-nonce"].decode())) == (204, True)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200), st.from_regex(rb'\{"protected":"[A-Za-z0-9_-]{0,80}","payload":"","signature":""\}')
    )
)
async def test_no_octets_bring_the_door_down(workloads: Workloads, body: bytes) -> None:
    status, said = await workloads.call(SVID, body, kind=JOSE)
    assert status in (400, 403, 429)
    assert said["code"]
