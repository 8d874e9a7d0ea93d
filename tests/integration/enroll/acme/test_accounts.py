"""Accounts at their edges: lists, lost answers, and who may revoke once an account is closed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.enroll.acme.test_enrolments import close, enrolled
from tests.support.acme_door import Door, csr_for
from troth.client.acme_session import AcmeError
from troth.client.jose import SigningKey
from troth.enroll.acme.closing import AccountRefused, Closer
from troth.enroll.acme.orders import PAGE
from troth.enroll.credentials.model import NameRules
from troth.kit.ids import new_id, parse_id

BELOW = NameRules(suffixes=("a.test",))


def leaf(chain: bytes) -> bytes:
    return x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.DER)


async def refused(call: Any) -> AcmeError:
    with pytest.raises(AcmeError) as caught:
        await call
    return caught.value


async def test_a_list_that_just_fits_has_no_further_page(door: Door) -> None:
    client, _ = await enrolled(door, vouches=True, rules=BELOW)
    made = [(await client.new_order([("dns", f"n{number}.a.test")])).url for number in range(PAGE)]
    url = (await client.account()).orders
    status, said, answer = await door.post(url, door.signed(client, url, b""))
    assert (status, said["orders"], answer.links("next")) == (200, made, [])
    for cursor in ("", "x", str(new_id()), made[-1].rpartition("/")[2]):
        place = f"{url}?cursor={cursor}"
        status, said, answer = await door.post(place, door.signed(client, place, b""))
        assert (status, answer.links("next")) == (200, [])
        assert said["orders"] == (made if cursor in ("", "x") else [])


async def test_an_account_that_was_closed_by_the_server_is_revoked_and_stays_so(door: Door) -> None:
    client = await door.client()
    order = await door.issued(client, "a.test")
    pending = await client.new_order([("dns", "b.test")])
    account = parse_id(client.account_url.rpartition("/")[2])
    assert account is not None
    closer = Closer(door.mint.database, door.mint.clock)
    await closer.revoke(account, by="admin:alice", certificates=False)
    for call in (client.account(), client.deactivate(), client.order(pending.url), client.certificate(order)):
        error = await refused(call)
        assert (error.status, error.problem.short_type) == (401, "unauthorized")
    assert (await refused(client.register())).status == 401, "its key opens no other account here"
    for gone in (account, new_id()):
        with pytest.raises(AccountRefused):
            await closer.revoke(gone, by="admin:alice", certificates=False)
    states = await door.mint.database.fetch("SELECT status FROM acme_order ORDER BY id")
    assert [row["status"] for row in states] == ["valid", "invalid"]


async def test_who_is_shut_out_can_still_revoke_by_the_certificates_own_key(door: Door) -> None:
    client, one = await enrolled(door, vouches=True, rules=BELOW)
    key = ec.generate_private_key(ec.SECP256R1())
    order = await client.new_order([("dns", "x.a.test")])
    done = await client.finalize(order, csr_for(["x.a.test"], key))
    chain = leaf(await client.certificate(done))
    await door.enrolling.enrolments.revoke(one.enrolment.id, by="admin:bob", closing=[close])
    assert (await refused(client.revoke(chain))).status == 401
    await client.revoke(chain, key=SigningKey.wrap(key))
    reason = await door.mint.database.fetchval("SELECT revocation_reason FROM certificate")
    assert reason == 1


async def test_an_account_of_the_same_enrolment_may_revoke_what_it_is_vouched_for_and_no_other(door: Door) -> None:
    """Control of all names is what counts (RFC 8555, 7.6), and an enrolment's word is as good as a proof."""
    client, _ = await enrolled(door, vouches=True, rules=BELOW)
    order = await client.new_order([("dns", "x.a.test")])
    done = await client.finalize(order, csr_for(["x.a.test"]))
    chain = leaf(await client.certificate(done))
    other, _ = await enrolled(door, vouches=True, rules=BELOW)
    assert (await refused(other.revoke(chain))).problem.short_type == "unauthorized"
    await other.new_order([("dns", "x.a.test")])
    await other.revoke(chain, reason=4)
    assert (await refused(client.revoke(chain))).problem.short_type == "alreadyRevoked"
