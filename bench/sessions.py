"""From a signal to the Disconnect acknowledged, a thousand sessions cut, and what accounting costs.

    python -m bench.sessions [--sessions 10000] [--rate 15] [--seconds 20] [--batch 1000] [--records 20000] [--quick]

A ``troth up`` of its own with as many devices as sessions. The sessions are told as Accepts, by what a RADIUS worker
runs; this process is the access servers, each of which takes five milliseconds to answer. In turn:

* **accounting**: requests of 64 access servers at once through the desk of a RADIUS worker in this process, durable
  before each answer; and how fast the worker of that Troth folds them.
* **latency**: signed signals at a steady rate, each about another device that is on the network. From the moment the
  request is sent until the access server has acknowledged the Disconnect.
* **batch**: so many signals within one second, until the last session is cut.

The last line is JSON with the figures of the issue.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import uvloop

from bench.enforce import House
from bench.signal import Wire, _percentile, started
from bench.support import cpu_seconds
from tests.support.accounting_month import Plan, month, packet
from tests.support.admissions import heard
from tests.support.das import Das, listening
from troth.assembly.layout import Layout
from troth.assembly.postgres.server import url
from troth.kit.clock import SystemClock
from troth.kit.sealing import SecretBox
from troth.radius.nas.definition import parse_nas
from troth.radius.nas.desk import NasDesk
from troth.radius.sessions import inbox_store, store
from troth.radius.sessions.desk import SessionDesk
from troth.radius.sessions.model import Admitted, Port, Where
from troth.radius.wire.packet import CALLING_STATION_ID, Packet, decode
from troth.store.pool import Database

_SERVERS = 8
_SECRET = b"between-campus-and-troth"
_ANSWERS_AFTER = 0.005
_STAGES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms(e.planned_at - e.accepted_at)) AS standing_changed,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ms(o.planned_at - e.planned_at)) AS orders_planned,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ms(o.ended_at - o.planned_at)) AS acknowledged,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ms(e.ended_at - o.ended_at)) AS effect_ended
FROM (SELECT * FROM radius_order WHERE origin LIKE 'effect:%' ORDER BY id DESC LIMIT 300) o
JOIN effect e ON 'effect:' || e.id = o.origin""".replace("ms(", "1000 * extract(epoch FROM ")
_REACTIONS = "reactions:\n  - {when: [quarantined, distrusted], then: [disconnect]}\n"
_CONFIGURATION = "[processes]\nstatus = 1\nweb = 2\n"


class Campus(House):
    """Devices on the network of one Troth, and the access servers that they are on."""

    def __init__(self, summary: dict[str, Any], sessions: int) -> None:
        super().__init__(summary, sessions, 0)
        self.names = self.others
        self.database: Database
        self.servers: list[Das] = []
        self.stations: dict[bytes, str] = {}
        self.cut: dict[str, float] = {}
        self.taken: list[float] = []

    async def stage(self, database: Database) -> None:
        """Feed, devices, access servers and sessions."""
        self.database = database
        data, clock = Path(self.summary["data_dir"]), SystemClock()
        desk = NasDesk(database, clock, SecretBox.at(data / "secrets" / "nas.secret", purpose="nas"))
        for number, server in enumerate(self.servers):
            text = (
                f"nas:\n  - {{name: {server.name}, addresses: [127.1.{number}.1], vendor: hostapd, "
                f"coa: {{address: 127.0.0.1, port: {server.port}}}}}\n"
            )
            await desk.apply(parse_nas(text), actor="admin:bench")
            await desk.set_secret(server.name, actor="admin:bench", secret=server.secret)
        await self._feed("batch", "cap: {percent: 100, subjects: 1000000}")
        await self._apply(self.admin, _REACTIONS)
        for start in range(0, len(self.names), 2_000):
            listed = "".join(f"  - {{name: {name}}}\n" for name in self.names[start : start + 2_000])
            await self._apply(self.admin, f"source: campus-{start}\ndevices:\n{listed}")
        rows = await database.fetch("SELECT id, name FROM subject WHERE name LIKE 'fleet-%'")
        ids: dict[str, UUID] = {row["name"]: row["id"] for row in rows}
        now, accepts = clock.now(), []
        for number, name in enumerate(self.names):
            server = self.servers[number % _SERVERS]
            mac = "02-" + "-".join(f"{octet:02x}" for octet in number.to_bytes(5, "big"))
            self.stations[mac.encode()] = name
            where = Where(server.name, server.name, "127.0.0.1", "192.0.2.1", server.name)
            port = Port(mac=mac, calling_station_id=mac, acct_session_id=f"S{number}")
            accepts.append(
                Admitted(os.urandom(16), where, port, now, "corp", "staff", "eap-tls", "allow", "policy.allowed",
                         f"{name}@corp.example", subject_ids=(ids[name],), versions=(0,),
                         until=now + timedelta(hours=8))
            )  # fmt: skip
        begun = time.perf_counter()
        await heard(database, clock, accepts)
        await self.until(lambda: store.open_count(database), len(accepts))
        print(f"{len(accepts)} sessions on {_SERVERS} access servers, told and folded in "
              f"{time.perf_counter() - begun:.1f} s")  # fmt: skip

    async def until(self, count: Any, wanted: int) -> None:
        """Wait until ``count`` gives ``wanted``."""
        async with asyncio.timeout(180):
            while await count() != wanted:  # noqa: ASYNC110 -- another program
                await asyncio.sleep(0.05)

    def heard(self, packet: Packet) -> int:
        """An access server takes a request; its answer leaves a moment later."""
        station = packet.first(CALLING_STATION_ID) or b""
        name = self.stations[station.lower()]
        at = time.perf_counter() + _ANSWERS_AFTER
        self.cut.setdefault(name, at)
        return 0

    async def one(self, name: str, when: float, sender: Wire) -> float:
        """A signal at ``when``; seconds until its session is cut."""
        await asyncio.sleep(max(0.0, when - time.perf_counter()))
        begun = time.perf_counter()
        await self.signal("batch", name, "edr.intrusion", sender)
        self.taken.append(time.perf_counter() - begun)
        async with asyncio.timeout(180):
            while name not in self.cut:  # noqa: ASYNC110 -- set by an access server
                await asyncio.sleep(0.005)
        return self.cut[name] - begun

    async def order(self, names: list[str]) -> None:
        """A person has these disconnected; come back when all are."""
        found = await self.database.fetch(
            """SELECT s.id FROM radius_session s JOIN subject d ON s.subject_ids @> ARRAY[d.id]
               WHERE d.name = ANY($1::text[]) AND s.ended_at IS NULL""",
            names,
        )
        answers = asyncio.Semaphore(8)

        async def one(session: UUID) -> None:
            async with answers:
                await self.admin.post(f"/network/sessions/{session}/disconnect", json={"reason": "bench"})

        await asyncio.gather(*(one(row["id"]) for row in found))
        async with asyncio.timeout(180):
            while not self.cut.keys() >= set(names):  # noqa: ASYNC110 -- set by the access servers
                await asyncio.sleep(0.01)

    async def stages(self) -> None:
        """Where the time of the orders so far went, as the database has it."""
        row = await self.database.fetchrow(_STAGES)
        if row is not None:
            told = ", ".join(
                f"{name.replace('_', ' ')} {float(value or 0):.0f} ms" for name, value in dict(row).items()
            )
            print(f"  answered 202 after {_percentile(self.taken, 0.5):.0f} ms; half of them: {told}")
        self.taken.clear()

    async def accounting(self, records: int) -> dict[str, float]:
        """Requests through a desk of this process, and how long the worker takes to fold them."""
        plan = Plan(boxes=64, sessions=max(1, records // 64 // 5), days=7.0, reboots=0, lost=0.0, doubled=0.05)
        made = month(plan, 1, SystemClock().now().replace(microsecond=0) - timedelta(days=7))[:records]
        requests = [decode(packet(one.told, number % 256, b"a secret")) for number, one in enumerate(made)]
        desk, queue = SessionDesk(self.database, SystemClock()), iter(zip(requests, made, strict=True))

        async def server() -> None:
            for request, one in queue:
                await desk.account(request, one.told.where.nas, one.told.where.source, [b"a secret"])

        begun, cpu = time.perf_counter(), cpu_seconds(os.getpid())
        await asyncio.gather(*(server() for _ in range(64)))
        took, used = time.perf_counter() - begun, cpu_seconds(os.getpid()) - cpu

        async def waiting() -> int:
            return (await inbox_store.waiting(self.database))[0]

        await self.until(waiting, 0)
        folded = time.perf_counter() - begun
        print(
            f"{len(made)} Accounting-Requests, 64 at once: {len(made) / took:.0f}/s, "
            f"{used / len(made) * 1e6:.0f} µs of CPU each in this process; "
            f"folded {folded:.1f} s after the first ({len(made) / folded:.0f}/s)"
        )
        return {"accounting_per_s": round(len(made) / took), "accounting_cpu_us": round(used / len(made) * 1e6)}


async def _main(summary: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    campus = Campus(summary, options.sessions)
    socket = str(summary.get("admin_socket") or Path(summary["data_dir"]) / "run" / "admin.sock")
    transport = httpx.AsyncHTTPTransport(uds=socket)
    database = await Database.open(options.database, clock=SystemClock())
    tls = ssl.create_default_context(cafile=summary["root_certificate"])
    result: dict[str, float] = {}
    admin = httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1", timeout=120)
    async with admin as campus.admin, _Servers(campus):
        await campus.stage(database)
        result |= await campus.accounting(options.records)
        senders = [await Wire.open(summary["https_url"], tls) for _ in range(32)]
        number = int(options.rate * options.seconds)
        start = time.perf_counter() + 0.5
        chosen = campus.names[:number]
        took = await asyncio.gather(
            *(campus.one(name, start + place / options.rate, senders[place % 32]) for place, name in enumerate(chosen))
        )
        p50, p99 = _percentile(took, 0.5), _percentile(took, 0.99)
        print(
            f"signal → Disconnect acknowledged, {number} at {options.rate:g}/s: "
            f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {max(took) * 1000:.0f} ms"
        )
        await campus.stages()
        result |= {"signal_to_disconnect_p50_ms": round(p50), "signal_to_disconnect_p99_ms": round(p99)}
        batch = campus.names[number : number + options.batch]
        start = time.perf_counter()
        await asyncio.gather(
            *(campus.one(name, start + place / len(batch), senders[place % 32]) for place, name in enumerate(batch))
        )
        cut, accepted = time.perf_counter() - start, max(campus.taken)
        print(
            f"{len(batch)} signals within a second: all sessions cut after {cut:.1f} s, of which the last signal took "
            f"{accepted:.1f} s to be accepted; most at once at one access server: "
            f"{max(one.most_waiting for one in campus.servers)}"
        )
        result["thousand_cut_s"] = round(cut, 2)
        await campus.stages()
        by_hand = campus.names[number + len(batch) : number + 2 * len(batch)]
        start = time.perf_counter()
        await campus.order(by_hand)
        result["thousand_ordered_s"] = round(time.perf_counter() - start, 2)
        print(f"{len(by_hand)} sessions ordered by a person: all cut after {result['thousand_ordered_s']} s")
        left = options.sessions - number - len(batch) - len(by_hand)

        async def open_there() -> int:
            return int(await database.fetchval(
                "SELECT count(*) FROM radius_session WHERE ended_at IS NULL AND network = 'corp'"
            ))  # fmt: skip

        await campus.until(open_there, left)
        for sender in senders:
            sender.close()
    await database.close()
    return result


class _Servers:
    """The access servers, listening for as long as the block runs."""

    def __init__(self, campus: Campus) -> None:
        self._campus = campus
        self._open: list[Any] = []

    async def __aenter__(self) -> None:
        for number in range(_SERVERS):
            das = Das(f"campus-{number}", _SECRET, judge=self._campus.heard, delay=_ANSWERS_AFTER)
            self._open.append(listening(das))
            self._campus.servers.append(await self._open[-1].__aenter__())

    async def __aexit__(self, *error: object) -> None:
        for one in self._open:
            await one.__aexit__(*error)


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="sessions on the network, cut by signals")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=15, help="signals per second while latency is measured")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="500 sessions, a batch of 100: whether it works")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.batch, options.records, options.seconds = 500, 100, 1_000, 6.0
    with started(_CONFIGURATION) as summary:
        options.database = _url(Path(summary["data_dir"]))
        result = uvloop.run(_main(summary, options))
    print(f"load: {', '.join(f'{one:.1f}' for one in os.getloadavg())}", file=sys.stderr)
    print(json.dumps(result))
    return 0


def _url(data: Path) -> str:
    """The embedded database of a Troth that runs."""
    return url(Layout(data))


if __name__ == "__main__":
    raise SystemExit(main())
