"""Accounting as access servers send it over weeks, with all that goes wrong, and what must become of it.

:func:`month` plays networks with users who come and go: boxes that reboot, with and without saying so, and count their
Acct-Session-Ids from 1 again; records that are lost, late, sent again, and told in any order. :func:`expected` is the
plain model: it knows which record belongs to which session, since it was there when it was made.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from troth.radius.sessions.model import Counters, Port, Session, Told, Where
from troth.radius.wire.packet import Attribute, Code
from troth.radius.wire.signing import encode_request

_STATUS = {"start": 1, "stop": 2, "interim": 3, "on": 7, "off": 8}


@dataclass(frozen=True)
class Truth:
    """One record with what only its maker knows: which session of which boot it belongs to; -1: a boot."""

    session: int
    told: Told


@dataclass(frozen=True)
class Plan:
    """How much of everything. Shares are between 0 and 1. ``first``: number of the first box."""

    boxes: int = 3
    first: int = 0
    stations: int = 8
    days: float = 3.0
    sessions: int = 40
    lost: float = 0.1
    doubled: float = 0.1
    reboots: int = 3
    silent_reboots: float = 0.5
    interim_seconds: int = 3600


def month(plan: Plan, seed: int, begins: datetime) -> list[Truth]:
    """Records in the order of their making, lost ones left out and repetitions in."""
    rng, made, number = random.Random(seed), [], 0
    length = int(plan.days * 86_400)
    for box in range(plan.first, plan.first + plan.boxes):
        where = Where(f"nas-{box % 2}", f"box-{box}/192.0.2.{box}", f"192.0.2.{box}", f"192.0.2.{box}", f"box-{box}")
        cuts = sorted(rng.sample(range(3600, length), plan.reboots))
        for begin, end in zip([0, *cuts], [*cuts, length], strict=True):
            if begin and rng.random() >= plan.silent_reboots:
                said: Literal["on", "off"] = "on" if rng.random() < 0.8 else "off"
                made.append(Truth(-1, _told(said, where, begins + timedelta(seconds=begin))))
            starts = sorted(rng.randrange(begin + 600, max(begin + 601, end)) for _ in range(plan.sessions))
            for count, start in enumerate(starts, 1):
                if start >= end - 10:
                    continue
                made += _session(plan, rng, number, where, count, begins, start, end)
                number += 1
    kept = [one for one in made if rng.random() >= plan.lost]
    return [one for one in kept for _ in range(1 + (rng.random() < plan.doubled))]


def _session(
    plan: Plan, rng: random.Random, number: int, where: Where, count: int, begins: datetime, start: int, end: int
) -> list[Truth]:
    """One session: it ends by itself, or with the boot, unstopped."""
    stop = start + rng.randrange(30, 6 * 3600)
    port = Port(
        mac="-".join(f"{octet:02x}" for octet in rng.randbytes(6)),
        user_name=f"user-{rng.randrange(plan.stations)}",
        # Counted from 1 after each boot: the same name is used again for another session.
        acct_session_id=f"{count:08X}",
        nas_port=rng.randrange(48),
    )
    rate = rng.randrange(1, 4_000_000)

    def at(status: Literal["start", "stop", "interim"], second: int) -> Truth:
        seconds = second - start
        told = Told(
            status, where, begins + timedelta(seconds=second), begins + timedelta(seconds=second), port,
            Counters(seconds, seconds * rate, seconds * rate * 3, seconds, seconds * 2),
            begins + timedelta(seconds=start), None, "User-Request" if status == "stop" else "",
        )  # fmt: skip
        return Truth(number, told)

    found = [at("start", start)]
    found += [at("interim", each) for each in range(start + plan.interim_seconds, min(stop, end), plan.interim_seconds)]
    if stop < end:
        found.append(at("stop", stop))
    return found


def _told(status: Literal["on", "off"], where: Where, at: datetime) -> Told:
    return Told(status, where, at, at)


@dataclass(frozen=True, order=True)
class Row:
    """What must stand in the table."""

    nas: str
    box: str
    acct_session_id: str
    mac: str
    started_at: datetime
    ended_at: datetime | None
    ended_by: str
    counters: tuple[int, ...]
    cause: str

    @classmethod
    def of(cls, one: Session) -> Row:
        """What stands there."""
        counted = one.counters
        return cls(
            *one.key, one.port.mac, one.started_at or one.opened_at, one.ended_at, one.ended_by,
            (counted.seconds, counted.octets_in, counted.octets_out, counted.packets_in, counted.packets_out),
            one.cause,
        )  # fmt: skip


def in_order(rows: Iterable[Row]) -> list[Row]:
    """By what names a session."""
    return sorted(rows, key=_order)


def arriving(made: Iterable[Truth], seed: int, jitter: float) -> list[tuple[datetime, Told]]:
    """Each with when it arrives, up to ``jitter`` seconds after its time, in that order."""
    rng = random.Random(seed)
    found = [(one.told.at + timedelta(seconds=rng.random() * jitter), one.told) for one in made]
    return sorted(found, key=lambda one: one[0])


def expected(records: Iterable[Truth]) -> list[Row]:
    """The model: session by session, from what was told of it, however often and in whatever order."""
    of: dict[int, list[Told]] = defaultdict(list)
    boots: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for one in records:
        if one.session < 0:
            boots[one.told.where.nas, one.told.where.box].append(one.told.at)
        else:
            of[one.session].append(one.told)
    begun = {number: min(one.began_at for one in told if one.began_at is not None) for number, told in of.items()}
    names: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
    for number, told in of.items():
        names[_name(told)].append(begun[number])
    rows = []
    for number, told in of.items():
        last = max(told, key=lambda one: (one.status == "stop", one.at))
        ended_at: datetime | None
        if last.status == "stop":
            ended_at, by = last.at, "stop"
        else:
            ends = [(at, "boot") for at in boots[_name(told)[:2]] if at > last.at]
            ends += [(later, "replaced") for later in names[_name(told)] if later > begun[number]]
            ended_at, by = min(ends) if ends else (None, "")
        counted = last.counters
        rows.append(
            Row(
                *_name(told), last.port.mac, begun[number], ended_at, by,
                (counted.seconds, counted.octets_in, counted.octets_out, counted.packets_in, counted.packets_out),
                last.cause,
            )
        )  # fmt: skip
    return sorted(rows, key=_order)


def _name(told: Sequence[Told]) -> tuple[str, str, str]:
    return told[0].where.nas, told[0].where.box, told[0].port.acct_session_id


def _order(row: Row) -> tuple[str, str, str, datetime]:
    return row.nas, row.box, row.acct_session_id, row.started_at


def packet(told: Told, identifier: int, secret: bytes, *, class_: bytes = b"") -> bytes:
    """The record as its access server sends it."""

    def number(kind: int, value: int) -> Attribute:
        return kind, value.to_bytes(4, "big")

    identifier_, _, address = told.where.box.partition("/")
    attributes: list[Attribute] = [
        number(40, _STATUS[told.status]), (32, identifier_.encode()),
        (4, bytes(int(part) for part in address.split("."))), number(55, int(told.at.timestamp())),
    ]  # fmt: skip
    if told.status not in ("on", "off"):
        counted = told.counters
        attributes += [
            (44, told.port.acct_session_id.encode()), (31, told.port.mac.upper().encode()),
            (1, told.port.user_name.encode()),
        ]  # fmt: skip
        attributes += [(25, class_)] if class_ else []
        if told.port.nas_port is not None:
            attributes.append(number(5, told.port.nas_port))
        if told.status != "start":
            attributes += [
                number(46, counted.seconds), number(42, counted.octets_in % 2**32), number(52, counted.octets_in >> 32),
                number(43, counted.octets_out % 2**32), number(53, counted.octets_out >> 32),
                number(47, counted.packets_in), number(48, counted.packets_out),
            ]  # fmt: skip
        if told.status == "stop":
            attributes.append(number(49, 1))
    return encode_request(Code.ACCOUNTING_REQUEST, identifier, attributes, secret)
