"""Decisions per second in one process: the shipped policy for devices over a fleet with all its outcomes.

    python -m bench.policy [--seconds 3] [--devices 1000]

*prebuilt*: the context exists and the conditions are asked, with the whole decision made; *built*: from the snapshot,
as for a door that has just gathered; *recorded*: with decision and snapshot as the JSON that is stored; *connect*: what
a connection takes of whoever is held in memory, snapshot and all; *journalled*: each made durable by the journal before
it counts (fdatasync shared by those who wait). Per CPU second of this process, but for the last, which is per second on
the clock. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from troth.kit.ids import new_id
from troth.kit.log import configure
from troth.trust.authoring.service import shipped
from troth.trust.connecting.connections import Asking, judged
from troth.trust.connecting.journal import Journal
from troth.trust.decision.judge import judge, judge_view
from troth.trust.model import Kind, Moment, Seen, Snapshot, Subject, SubjectRef, encode
from troth.trust.policy.grammar import parse_policy
from troth.trust.standing import Standing
from troth.trust.subjects.facts import Observation

_AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
_WAITING = 256


def fleet(devices: int) -> list[Snapshot]:
    """Snapshots of devices of which most are well, as the shipped policy reads them."""
    chance = random.Random(7)
    made = []
    for number in range(devices):
        seen = _AT - timedelta(minutes=chance.choice([1, 5, 20, 50, 90]))
        values: dict[str, Any] = {
            "user.enabled": chance.random() > 0.01,
            "posture.compliant": chance.random() > 0.05,
            "risk.score": chance.choice([0, 5, 10, 30, 60, 90]),
        }
        if chance.random() < 0.03:
            del values["risk.score"]
        said = [Seen(path, value, "mdm", seen) for path, value in values.items()]
        asked = {"names": [f"laptop-{number}.corp.example"], "protocol": "acme", "address": "10.1.2.3"}
        said += [Seen(f"request.{name}", value, "request", _AT) for name, value in asked.items()]
        who = SubjectRef(new_id(), Kind.DEVICE, f"laptop-{number}", Standing.TRUSTED, 1)
        values_ = tuple(sorted(said, key=lambda one: one.path))
        made.append(Snapshot(new_id(), _AT, Moment.CONNECT, "client-device", who, values=values_))
    return made


def at_hand(snapshots: list[Snapshot]) -> list[tuple[Subject, tuple[Observation, ...]]]:
    """The same devices as a process holds them in memory: the subject, and what sources say of it."""
    made = []
    for one in snapshots:
        subject = Subject(one.subject.id, one.subject.kind, one.subject.name, "directory", confirmed_at=_AT)
        said = [
            Observation(subject.id, seen.path, seen.value, seen.source, seen.observed_at)
            for seen in one.values
            if seen.source == "mdm"
        ]
        made.append((subject, tuple(said)))
    return made


def per_cpu_second(work: Callable[[int], object], seconds: float) -> float:
    """How often ``work`` can be done in a second of this process's CPU."""
    done, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        for _ in range(500):
            work(done)
            done += 1
    return done / spent


async def journalled(pairs: list[tuple[Any, Snapshot]], seconds: float) -> float:
    """Decisions made durable per second, by many that wait at once."""
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal.open(Path(directory) / "journal")
        done, begun = 0, time.perf_counter()

        async def one(start: int) -> None:
            nonlocal done
            place = start
            while time.perf_counter() - begun < seconds:
                await journal.record([pairs[place % len(pairs)]], actor="bench")
                done, place = done + 1, place + 1

        await asyncio.gather(*(one(number) for number in range(_WAITING)))
        spent = time.perf_counter() - begun
        await journal.close()
        return done / spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--devices", type=int, default=1000)
    options = parser.parse_args()
    configure(role="bench", level="error")
    policy = parse_policy(shipped()["client-device"], file="client-device.yaml", version=1)
    snapshots = fleet(options.devices)
    views = [policy.view(one.values, one.at) for one in snapshots]
    ready = [(one, view, view.context()) for one, view in zip(snapshots, views, strict=True)]
    pairs = [(judge(policy, one), one) for one in snapshots]
    count = len(ready)

    def prebuilt(number: int) -> object:
        return judge_view(policy, *ready[number % count])

    def built(number: int) -> object:
        return judge(policy, snapshots[number % count])

    def recorded(number: int) -> object:
        snapshot = snapshots[number % count]
        return encode(judge(policy, snapshot)), encode(snapshot)

    known, asking = at_hand(snapshots), Asking("bench", {"address": "10.1.2.3", "protocol": "radius"})

    def connecting(number: int) -> object:
        subject, said = known[number % count]
        return judged((subject,), "client-device", said, policy, asking, _AT)

    figures = {
        "policy_per_s": per_cpu_second(prebuilt, options.seconds),
        "policy_built_per_s": per_cpu_second(built, options.seconds),
        "policy_recorded_per_s": per_cpu_second(recorded, options.seconds),
        "policy_connect_per_s": per_cpu_second(connecting, options.seconds),
        "policy_journalled_per_s": uvloop.run(journalled(pairs, options.seconds)),
    }
    outcomes = Counter(decision.outcome.value for decision, _ in pairs)
    print(f"policy client-device, {count} devices: " + ", ".join(f"{n} {name}" for name, n in outcomes.most_common()))
    for name, goal in (("policy_per_s", 50_000), ("policy_built_per_s", 20_000)):
        print(f"  {name:24} {figures[name]:10,.0f}   (goal {goal:,})")
    for name in ("policy_recorded_per_s", "policy_connect_per_s", "policy_journalled_per_s"):
        print(f"  {name:24} {figures[name]:10,.0f}")
    print(json.dumps({name: round(value) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
