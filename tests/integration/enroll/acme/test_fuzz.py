"""Whatever is signed and sent: an answer below 500, a known problem, and rows only where the answer says so."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.acme_door import BASE, Door, csr_for
from troth.client.jose import b64url_encode
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.problems import ACME_TYPES, URN

SETTINGS = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
NEW_ORDER = f"{BASE}/acme/tls-server/new-order"
GOOD = csr_for(["a.test"])
KNOWN = {URN + short for short, _ in ACME_TYPES.values()}

texts = st.text(max_size=30) | st.from_regex(r"[a-zA-Z0-9*._:-]{0,40}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
identifiers = st.fixed_dictionaries(
    {"type": st.sampled_from(["dns", "ip"]) | values, "value": texts | values}, optional={"extra": values}
)
moments = st.from_regex(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00(Z|[+-][0-2][0-9]:00)", fullmatch=True)
orders = st.fixed_dictionaries(
    {"identifiers": st.lists(identifiers, max_size=4) | values},
    optional={
        "profile": st.sampled_from(["tls-server", "quarantine"]) | values,
        "notBefore": values,
        "notAfter": moments | values,
        "replaces": values,
    },
)


@SETTINGS
@given(payload=orders | values)
async def test_new_orders_of_any_shape(door: Door, payload: Any) -> None:
    client = door.clients[0] if door.clients else await door.client()
    before = await door.everything()
    octets = msgspec.json.encode(payload)
    status, said, _ = await door.post(NEW_ORDER, door.signed(client, NEW_ORDER, octets))
    after = await door.everything()
    if status == 201:
        assert said["status"] == "pending"
        assert after["acme_order"] == before["acme_order"] + 1
        assert after["acme_authz"] == before["acme_authz"] + len(said["identifiers"])
        assert {one["type"] for one in said["identifiers"]} <= {"dns", "ip"}
        asked = {str(one["value"]).lower() for one in payload["identifiers"]}
        assert {one["value"] for one in said["identifiers"]} == asked
    else:
        assert 400 <= status < 500
        assert said["type"] in KNOWN
        assert after == before


names_below = st.fixed_dictionaries(
    {"type": st.just("dns"), "value": st.sampled_from(["a.b.test", "*.b.test", "b.test", "a.b", "A.B.TEST"]) | texts},
    optional={"ancestorDomain": st.sampled_from(["b.test", "test", "*.b.test", "", "B.test", "x.a.b.test"]) | values},
)
EVERY = Directory(
    "tls-server", ("tls-server",), challenges=("dns-01", "dns-account-01", "dns-persist-01"), subdomains=True,
    issuers=("ca.test",),
)  # fmt: skip


@settings(SETTINGS, max_examples=40)
@given(found=st.lists(names_below, min_size=1, max_size=4))
async def test_domains_above_names_of_any_shape(door: Door, found: list[dict[str, Any]]) -> None:
    if not door.clients:
        door.reopen(None, EVERY)
    client = door.clients[0] if door.clients else await door.client()
    octets = msgspec.json.encode({"identifiers": found})
    status, said, _ = await door.post(NEW_ORDER, door.signed(client, NEW_ORDER, octets))
    if status != 201:
        assert (400 <= status < 500, said["type"] in KNOWN) == (True, True)
        return
    held = [await client.authorization(url) for url in said["authorizations"]]
    proved = {authz.identifier.value for authz in held}
    for name in {one["value"] for one in said["identifiers"]}:
        base = name.removeprefix("*.")
        assert any(base == domain or base.endswith(f".{domain}") for domain in proved), (name, proved)


@settings(SETTINGS, max_examples=40)
@given(text=texts.filter(lambda text: "/" not in text) | st.binary(max_size=30).map(b64url_encode))
async def test_renewal_information_asked_for_in_any_words(door: Door, text: str) -> None:
    status, said, _ = await door.post(f"{BASE}/acme/tls-server/renewal-info/{quote(text)}", b"", method="GET")
    assert status in (400, 404)
    assert said["type"] in KNOWN


@SETTINGS
@given(body=st.binary(max_size=300) | values.map(msgspec.json.encode))
async def test_bodies_of_any_bytes(door: Door, body: bytes) -> None:
    status, said, answer = await door.post(NEW_ORDER, body)
    assert status == 400
    assert said["type"] in KNOWN
    assert answer.headers["replay-nonce"]


@st.composite
def spoilt_csrs(draw: st.DrawFn) -> bytes:
    """A good request with some octets changed, cut or doubled."""
    der = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der) - 1))
        action = draw(st.sampled_from(["change", "cut", "double", "insert"]))
        if action == "change":
            der[at] ^= draw(st.integers(1, 255))
        elif action == "cut":
            del der[at : at + draw(st.integers(1, 20))]
        elif action == "double":
            der[at:at] = der[at : at + 10]
        else:
            der[at:at] = draw(st.binary(max_size=8))
        if not der:
            break
    return bytes(der)


@SETTINGS
@given(
    payload=spoilt_csrs().map(lambda der: {"csr": b64url_encode(der)}) | st.fixed_dictionaries({"csr": values}) | values
)
async def test_finalizing_with_anything_but_a_good_request(door: Door, payload: Any) -> None:
    client = door.clients[0] if door.clients else await door.client()
    held = await client.new_order([("dns", "a.test")])
    order = held if held.status == "ready" else await door.ready(client, "a.test")
    before = await door.everything()
    octets = msgspec.json.encode(payload)
    if payload == {"csr": b64url_encode(GOOD)}:
        return
    status, said, _ = await door.post(order.finalize, door.signed(client, order.finalize, octets))
    assert status == 400
    assert said["type"] in (URN + "badCSR", URN + "malformed")
    assert await door.everything() == before
    assert (await client.order(order.url)).status == "ready"
    assert door.mint.signer.certified == []
