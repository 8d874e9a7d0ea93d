"""What TLS is told of a certificate before it is finished."""

from __future__ import annotations

import dataclasses

from msgspec import structs

from tests.unit.radius.admission.world import World
from troth.assembly.radius_ground import leaf_judge


def test_revoked_and_held_by_people_are_refused_within_tls_and_the_healing_get_no_tickets() -> None:
    world = World()
    judge = leaf_judge(world.table)

    def judged(name: str, **changes: object) -> str | None:
        device = world.device(name, put=False)
        world.put(dataclasses.replace(device, row=structs.replace(device.row, **changes)))
        return judge("corp", device.row.sha256)

    assert judged("a") is None
    assert judged("b", status="revoked") == "revoked"
    assert judged("c", status="held", held_beside=True) == "revoked"
    assert judged("d", status="held", held_by=(world.device("e").subject.id,)) == "no_ticket"
    assert judged("f", profile="quarantine") == "no_ticket"
    assert judge("corp", bytes(32)) is None, "none of ours: that is for the decision to say"
