"""Memory and time of the trust table of one RADIUS worker: ``python -m bench.radius_table [--devices N]``.

Devices with a certificate, an owner of every second one, and six facts each, as a worker holds them; then the cost of a
decision (without TLS and without validating the path anew), the policy being the shipped one for Wi-Fi devices.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import time
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from msgspec import structs

from tests.unit.radius.admission.world import AT, World
from troth.kit.canonical import Json
from troth.kit.ids import new_id
from troth.trust.authoring.service import shipped
from troth.trust.subjects.facts import Observation
from troth.trust.vocabulary import GATHERED_ROOTS

FACTS: dict[str, Json] = {
    "posture.compliant": True, "risk.score": 10, "posture.disk_encrypted": True, "posture.os_version": "14.7.1",
    "posture.firewall": True, "device.platform": "macos",
}  # fmt: skip
_PAGE = 2_000


def resident() -> int:
    """Octets of this process that lie in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def filled(devices: int) -> tuple[World, int]:
    """A world with so many devices beside one that is real, and the octets that they took."""
    world = World()
    world.policies.set(shipped()["wifi-device"])
    policy = world.policies.governing("wifi-device")
    assert policy is not None
    world.table.want(world.decider.ground.networks.profiles, policy.wants(*GATHERED_ROOTS) | FACTS.keys())
    model = world.device("model")
    gc.collect()
    before = resident()
    for start in range(0, devices, _PAGE):
        certificates, people = [], []
        for number in range(start, min(start + _PAGE, devices)):
            device, owner = new_id(), new_id() if number % 2 else None
            said = [
                Observation(device, path, value, "intune", AT - timedelta(seconds=number % 3_600))
                for path, value in FACTS.items()
            ]
            people.append(
                structs.replace(
                    model.subject, id=device, name=f"laptop-{number}", owner=owner, said=world.table.words.pack(said),
                    paths=world.table.wish, attributes={"managed": True, "serial": f"C02{number:09}"},
                )
            )  # fmt: skip
            if owner is not None:
                people.append(
                    structs.replace(
                        model.subject, id=owner, kind="user", name=f"user-{number}", paths=world.table.wish,
                        attributes={"enabled": True, "email": f"user-{number}@corp.example"}, groups=("wifi-users",),
                    )
                )  # fmt: skip
            certificates.append(
                structs.replace(
                    model.row, id=new_id(), sha256=number.to_bytes(32, "big"), serial=number.to_bytes(16, "big"),
                    subjects=(device,), names=(("dns", f"laptop-{number}.corp.example"),),
                )
            )  # fmt: skip
        turn = world.table.begin()
        world.table.put_subjects(people, turn)
        world.table.put_certificates(certificates, turn)
        world.table.end()
    gc.collect()
    return world, resident() - before


def decisions(world: World, count: int) -> float:
    """Microseconds of CPU for one."""
    said = (Observation(UUID(int=0), "posture.compliant", True, "intune", AT),)
    devices = [world.device(f"busy-{number}") for number in range(50)]
    for one in devices:
        of = tuple(replace(each, subject_id=one.subject.id) for each in said)
        world.put(replace(one, said=of, subject=structs.replace(one.subject, attributes={"managed": True})))
    attempts = [world.attempt(one) for one in devices]
    for attempt in attempts:
        world.decider.decide(attempt)
    begun = time.process_time()
    for number in range(count):
        world.decider.decide(attempts[number % len(attempts)])
    return (time.process_time() - begun) / count * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--decisions", type=int, default=5_000)
    chosen = parser.parse_args()
    begun = time.process_time()
    world, octets = filled(chosen.devices)
    seconds = time.process_time() - begun
    print(f"devices                      {chosen.devices:>12,}")
    print(f"memory of the table          {octets / 1e6:>12.1f} MB")
    print(f"for 100,000 devices          {octets / chosen.devices * 0.1:>12.1f} MB")
    print(f"filling it (without the database) {seconds:>7.1f} s of CPU")
    one = decisions(world, chosen.decisions)
    print(f"one decision                 {one:>12.0f} µs of CPU")
    per_100k = octets / chosen.devices * 0.1
    print(json.dumps({"mb_per_100k_devices": round(per_100k, 1), "decision_us": round(one)}))


if __name__ == "__main__":
    main()
