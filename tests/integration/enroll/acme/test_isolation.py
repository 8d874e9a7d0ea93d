"""Nobody reaches another's objects: every object route of the table, asked by everyone it does not belong to."""

from __future__ import annotations

from tests.support.acme_door import BASE, DIRECTORIES, Door, csr_for
from troth.client.jose import SigningKey, b64url_encode


def object_routes(door: Door) -> list[str]:
    """Patterns of the routes that name an object of an account, from the product's own table, under the open root.

    Renewal information is for everybody (RFC 9773, 4.1).

    Under the roots of enrolments hang the same, and what keeps them apart is in ``test_enrolments``.
    """
    patterns = [
        route.pattern for route in door.acme.routes() if "POST" in route.methods and "/e/{}" not in route.pattern
    ]
    return sorted(pattern for pattern in patterns if pattern.count("{}") > 1)


async def test_every_object_is_its_owners_alone(door: Door) -> None:
    owner = await door.client()
    issued = await door.issued(owner, "mine.test")
    pending = await owner.new_order([("dns", "secret.test")])
    authz = await owner.authorization(pending.authorizations[0])
    tokens = [challenge.token for challenge in authz.challenges]
    ready = await owner.new_order([("dns", "mine.test")])
    objects: dict[str, list[str]] = {
        "/acme/{}/acct/{}": [owner.account_url],
        "/acme/{}/acct/{}/orders": [f"{owner.account_url}/orders"],
        "/acme/{}/order/{}": [pending.url, issued.url, ready.url],
        "/acme/{}/order/{}/finalize": [pending.finalize, issued.finalize, ready.finalize],
        "/acme/{}/authz/{}": [authz.url, issued.authorizations[0]],
        "/acme/{}/chall/{}/{}": [challenge.url for challenge in authz.challenges],
        "/acme/{}/cert/{}": [issued.certificate],
        "/acme/{}/cert/{}/{}": [f"{issued.certificate}/{chain}" for chain in ("1", "2", "x")],
    }
    assert sorted(objects) == object_routes(door)

    stranger, closed = await door.client(), await door.client()
    await door.ready(stranger, "other.test")
    await closed.deactivate()
    abroad = await door.client(profile=DIRECTORIES[1])
    before = await door.everything()
    payloads: list[object] = [b"", {}, {"status": "deactivated"}, {"csr": b64url_encode(csr_for(["mine.test"]))}]
    asked = 0
    for urls in objects.values():
        for url in urls:
            elsewhere = url.replace(f"/{DIRECTORIES[0]}/", f"/{DIRECTORIES[1]}/")
            for payload in payloads:
                for who, where in (
                    (stranger, url), (closed, url), (abroad, url), (abroad, elsewhere), (owner, elsewhere),
                ):  # fmt: skip
                    status, said, answer = await door.post(where, door.signed(who, where, payload))
                    assert 400 <= status < 500, (where, who.account_url, payload)
                    assert said["type"].startswith("urn:ietf:params:acme:error:")
                    told = answer.body.decode()
                    assert not any(token in told for token in tokens)
                    assert "secret.test" not in told
                    assert "mine.test" not in told
                    asked += 1
    assert asked == sum(len(urls) for urls in objects.values()) * len(payloads) * 5
    assert await door.everything() == before
    assert (await owner.account()).status == "valid"
    assert [(await owner.order(one.url)).status for one in (pending, issued, ready)] == ["pending", "valid", "ready"]


async def test_a_stolen_kid_does_not_help_without_its_key(door: Door) -> None:
    owner, thief = await door.client(), await door.client()
    order = await door.ready(owner, "mine.test")
    for url in (order.url, owner.account_url, order.authorizations[0]):
        status, said, _ = await door.post(url, door.signed(thief, url, b"", kid=owner.account_url))
        assert (status, said["reason"]) == (400, "acme.jws.signature")


async def test_accounts_of_one_key_in_two_directories_are_two(door: Door) -> None:
    key = SigningKey.generate()
    here, there = await door.client(key=key), await door.client(key=key, profile=DIRECTORIES[1])
    assert here.account_url != there.account_url
    order = await here.new_order([("dns", "a.test")])
    status, said, _ = await door.post(order.url, door.signed(here, order.url, b"", kid=there.account_url))
    assert (status, said["reason"]) == (400, "acme.jws.malformed")


async def test_unknown_objects_are_not_found_whatever_they_are_called(door: Door) -> None:
    client = await door.client()
    order = await client.new_order([("dns", "a.test")])
    for pattern in object_routes(door):
        if "/acct/" in pattern:
            continue
        for segment in ("0", "01a208bf-f7eb-7f41-9827-f85844a70bb1", "01A208BF-F7EB-7F41-9827-F85844A70BB1", "..", "'"):
            path = pattern.replace("{}", DIRECTORIES[0], 1).replace("{}", segment, 1).replace("{}", "http-01")
            url = f"{BASE}{path}"
            status, said, _ = await door.post(url, door.signed(client, url, {"csr": "AA"}))
            assert (status, said["type"].rpartition(":")[2]) == (404, "malformed"), url
    for url in (f"{order.authorizations[0]}/x", order.authorizations[0].replace("/authz/", "/chall/") + "/none-01"):
        status, _, _ = await door.post(url, door.signed(client, url, b""))
        assert status == 404


async def test_a_directory_that_does_not_exist_has_nothing(door: Door) -> None:
    client = await door.client()
    for path in ("directory", "new-nonce"):
        assert (await door.post(f"{BASE}/acme/none/{path}", b"", method="GET"))[0] == 404
    url = f"{BASE}/acme/none/new-order"
    status, said, _ = await door.post(url, door.signed(client, url, {}))
    assert (status, said["reason"]) == (404, "acme.request.not_found")
