"""Alternate chains (RFC 8555, 7.4.2): linked, fetched, and the preferred one first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.pki.test_cross import DER, _cross, _new_root
from tests.support.acme_door import Door
from troth.client.acme import AcmeError
from troth.pki.cross import add_cross, read_cross
from troth.store.unit import Unit


async def test_a_second_chain_is_linked_and_fetched_by_clients(door: Door) -> None:
    mint = door.mint
    root, _ = await _new_root(mint)
    client = await door.client()
    order = await door.issued(client, "a.test")
    alone = await client.post(order.certificate)
    assert _alternates(alone.headers.get("link", ())) == []
    cross = read_cross(_cross(mint, root), mint.catalogue.authorities, mint.clock.now())
    await mint.database.commit(add_cross(Unit(), cross, actor="test"))
    await mint.catalogue.refresh()
    first = await client.post(order.certificate)
    links = _alternates(first.headers.get("link", ()))
    assert links == [f"{order.certificate}/1"]
    second = await client.post(links[0])
    assert (first.body.count(b"BEGIN"), second.body.count(b"BEGIN")) == (2, 3)
    assert second.body.startswith(first.body)
    assert _alternates(second.headers.get("link", ())) == [order.certificate]
    for wrong in ("2", "x", "-1", "01000"):
        with pytest.raises(AcmeError) as caught:
            await client.post(f"{order.certificate}/{wrong}")
        assert caught.value.status == 404
    # Somebody else's certificate stays theirs, whichever chain is asked for.
    stranger = await door.client()
    with pytest.raises(AcmeError) as caught:
        await stranger.post(links[0])
    assert caught.value.status in (401, 403)
    door.reopen(replace(door.desks, preferred_chain="Test Root"))  # the setting, as the assembly hands it over
    client = await door.client(key=client.key)
    assert (await client.post(order.certificate)).body == second.body
    assert cross.certificate != root.public_bytes(DER)


def _alternates(links: tuple[str, ...]) -> list[str]:
    return [one[1 : one.index(">")] for one in links if one.endswith('rel="alternate"')]
