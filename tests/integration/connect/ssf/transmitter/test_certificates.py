"""What becomes of single certificates is told from the ledger, once, to whom it is granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from tests.integration.connect.ssf.transmitter.conftest import ACTOR, Wire

if TYPE_CHECKING:
    from troth.audit.follower import Follower

TYPE = "https://schemas.openid.net/secevent/caep/event-type/credential-change"


def _follower(wire: Wire) -> Follower:
    from troth.connect.ssf.transmitter.certificates import CertificateTelling

    return CertificateTelling(wire.trust.database, wire.trust.clock, wire.port.sender).follower()


@asynccontextmanager
async def _following(wire: Wire) -> AsyncIterator[None]:
    """Two workers read the ledger at once; a sequencer gives its events their places."""
    from troth.audit.sequencer import Sequencer
    from troth.kit.ids import new_id

    stop = asyncio.Event()
    sequencer = Sequencer(wire.trust.database, wire.trust.clock, new_id())
    tasks = [asyncio.create_task(one.run(stop)) for one in (sequencer, _follower(wire), _follower(wire))]
    try:
        while await wire.trust.database.fetchval("SELECT count(*) FROM stream_follower") == 0:
            await asyncio.sleep(0.02)
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _revoke(wire: Wire, certificate: UUID) -> None:
    from troth.pki.revocation import OfCertificate, revoke
    from troth.store.unit import Unit

    at = wire.trust.clock.now()
    await wire.trust.database.commit(revoke(Unit(), OfCertificate(certificate), reason=4, actor=ACTOR, at=at))


async def _told(wire: Wire, number: int) -> list[dict[str, object]]:
    async with asyncio.timeout(120):
        while len(claims := await wire.waiting()) < number:
            await asyncio.sleep(0.05)
    return [event for one in claims for type, event in one["events"].items() if type == TYPE]


async def test_a_person_revokes_one_certificate_and_receivers_hear_of_it_once(wire: Wire) -> None:
    laptop, other = await wire.trust.subject("laptop"), await wire.trust.subject("other", kind="workload")
    certificate, elsewhere = await wire.trust.certificate(laptop), await wire.trust.certificate(other)
    await wire.grant(scope={"subjects": ["device"]})
    await wire.connected()
    async with _following(wire):
        await _revoke(wire, elsewhere)
        await _revoke(wire, certificate)
        told = await _told(wire, 1)
        await asyncio.sleep(0.6)  # the other worker has read it by now as well
        assert len(await wire.waiting()) == 1
    record = await wire.trust.row(certificate)
    assert [(one["change_type"], one["x509_serial"], one["initiating_entity"]) for one in told] == [
        ("revoke", f"{int.from_bytes(record.serial, 'big'):x}", "admin")
    ]


async def test_certificates_that_are_issued_are_told_to_who_asks_for_it(wire: Wire) -> None:
    laptop = await wire.trust.subject("laptop")
    await wire.grant(credential_changes=["create"])
    await wire.connected()
    async with _following(wire):
        certificate = await wire.trust.certificate(laptop)
        await _revoke(wire, certificate)
        await wire.trust.certificate(laptop)
        told = await _told(wire, 2)
    assert [one["change_type"] for one in told] == ["create", "create"]


async def test_what_happened_while_no_worker_ran_is_told_by_the_next(wire: Wire) -> None:
    laptop = await wire.trust.subject("laptop")
    certificate = await wire.trust.certificate(laptop)
    await wire.grant()
    await wire.connected()
    async with _following(wire):
        pass
    await _revoke(wire, certificate)
    assert await wire.waiting() == []
    async with _following(wire):
        assert len(await _told(wire, 1)) == 1
