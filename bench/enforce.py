"""Enforcement on a whole Troth with 10,000 subjects: how soon, how many at once, and how little a broken feed can do.

    python -m bench.enforce [--subjects 10000] [--rate 15] [--seconds 20] [--batch 1000] [--faulty 10000] [--quick]

A ``troth up`` of its own (for the last part another, whose caps nothing has used yet): two web and two status workers,
a webhook receiver in this process. In turn:

* **latency**: signed signals at a steady rate, each about another device. From the moment the request is sent, every
  status worker is polled until it says revoked (certificateHold): by POST, by GET, and through an HTTP cache that keeps
  a GET's answer for as long as its ``Cache-Control`` allows and had it just before. The slowest of each counts. Beside
  that a steady load of OCSP requests, and the webhook that the reactions ask for.
* **batch**: so many signals within one second, by a feed whose cap is everybody; until the last certificate's answer
  has changed at every worker.
* **silence**: a feed with a cadence stops. When is it said, and what changes?
* **faulty**: a feed with the default caps reports every device. How many are restricted, revoked, when is it suspended?

The last line is JSON with the figures of the issue.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from bench.signal import Bench, Device, Wire, _percentile, started
from bench.signed import post_signal

_CADENCE = 5
_SETTLE_SECONDS = 180.0


class House(Bench):
    """One Troth with many subjects."""

    def __init__(self, summary: dict[str, Any], subjects: int, certified: int) -> None:
        super().__init__(summary, certified)
        self.others = [f"fleet-{os.urandom(2).hex()}-{number}" for number in range(subjects - certified)]
        self.secrets: dict[str, bytes] = {}
        self.admin: httpx.AsyncClient
        self.senders: list[Wire] = []
        self.told: dict[str, float] = {}
        self.hook_port = 0
        self.direct: list[float] = []
        self.cached: list[float] = []
        self.webhook: list[float] = []

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Feeds, subjects, certificates, reactions, and connections."""
        socket = str(self.summary.get("admin_socket") or Path(self.summary["data_dir"]) / "run" / "admin.sock")
        transport = httpx.AsyncHTTPTransport(uds=socket)
        hook = await asyncio.start_server(self._hooked, "127.0.0.1", 0)
        self.hook_port = hook.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1", timeout=120) as admin:
            self.admin = admin
            await self._policy(admin)
            everybody = "cap: {percent: 100, subjects: 1000000}"
            await self._feed(self.feed, everybody)
            await self._feed("batch", everybody)
            await self._feed("silent", f"{everybody}\n    cadence_seconds: {_CADENCE}")
            await self._feed("faulty", "")
            names = [device.name for device in self.devices]
            for start in range(0, len(names), 1_000):
                listed = "".join(
                    f"  - {{name: {name}, names: [{name}.test]}}\n" for name in names[start : start + 1_000]
                )
                await self._apply(admin, f"source: certified-{start}\ndevices:\n{listed}")
            for start in range(0, len(self.others), 2_000):
                listed = "".join(f"  - {{name: {name}}}\n" for name in self.others[start : start + 2_000])
                await self._apply(admin, f"source: fleet-{start}\ndevices:\n{listed}")
            hooked = f"http://127.0.0.1:{self.hook_port}/"
            await self._apply(
                admin,
                f"reactions:\n  - {{when: [quarantined], then: ['webhook:bench']}}\n"
                f"targets:\n  - {{name: bench, kind: webhook, url: '{hooked}', per_minute: 100000}}\n",
            )
            (await admin.post("/effect-targets/bench/secret", json={})).raise_for_status()
            key = ec.generate_private_key(ec.SECP256R1())
            for start in range(0, len(self.devices), 16):
                await asyncio.gather(*(self._certify(admin, one, key) for one in self.devices[start : start + 16]))
            tls = ssl.create_default_context(cafile=self.summary["root_certificate"])
            self.senders = [await Wire.open(self.summary["https_url"], tls) for _ in range(32)]
            await self.connect()
            try:
                yield
            finally:
                hook.close()
                for wire in (*self.senders, *self.pollers):
                    wire.close()

    async def _feed(self, name: str, more: str) -> None:
        text = (
            f"feeds:\n  - name: {name}\n    kinds: [edr.*]\n    scope: {{subjects: [device]}}\n    rollout: 100\n"
            + (f"    {more}\n" if more else "")
        )
        (change,) = (await self._apply(self.admin, text))["changes"]
        self.secrets[name] = base64.b64decode(change["secret"].removeprefix("whsec_"))

    async def _hooked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(int(line[15:]) for line in head.splitlines() if line.startswith("content-length:"))
            said = json.loads(await reader.readexactly(length))
            self.told.setdefault(said["data"]["subject"]["name"], time.perf_counter())
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def signal(self, feed: str, name: str, kind: str, sender: Wire) -> list[str]:
        """One signed signal, accepted; returns what it did."""
        status, answer = await post_signal(sender, feed, self.secrets[feed], next(self._numbers), name, kind)
        assert status == 202, answer
        effects: list[str] = json.loads(answer)["effects"]
        return effects

    # --- latency -----------------------------------------------------------------------------------------------------

    async def latency(self, rate: float, seconds: float, load: float) -> None:
        """Signals at ``rate``; each device is cleared again afterwards."""
        loading = [asyncio.create_task(self._load(load / 4)) for _ in range(4)]
        walks: list[asyncio.Task[None]] = []
        start = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            device = self.devices[number % len(self.devices)]
            walks.append(asyncio.create_task(self._one(device, self.senders[number % len(self.senders)])))
        await asyncio.gather(*walks)
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)

    async def _one(self, device: Device, sender: Wire) -> None:
        async with device.busy:
            try:
                # A cache that fetched the answer up to a second ago, as caches in front of every worker would have.
                held = [await self._get(wire, device) for wire in self.pollers]
                fetched = time.perf_counter()
                await asyncio.sleep(random.uniform(0.0, 1.0))
                self.told.pop(device.name, None)
                start = time.perf_counter()
                polls = [asyncio.create_task(self._poll(wire, device, True)) for wire in self.pollers]
                polls += [asyncio.create_task(self._poll_get(wire, device)) for wire in self.pollers]
                caches = [
                    asyncio.create_task(self._poll_cache(wire, device, fetched, age))
                    for wire, (_, age) in zip(self.pollers, held, strict=True)
                ]
                await self.signal(self.feed, device.name, "edr.intrusion", sender)
                self.figures.accepted.append(time.perf_counter() - start)
                self.direct.append(max(await asyncio.gather(*polls)) - start)
                self.cached.append(max(await asyncio.gather(*caches)) - start)
                async with asyncio.timeout(60):
                    while device.name not in self.told:  # noqa: ASYNC110 -- set by the receiver
                        await asyncio.sleep(0.02)
                self.webhook.append(self.told[device.name] - start)
                await self.signal(self.feed, device.name, "edr.cleared", sender)
                await asyncio.gather(*(self._poll(wire, device, False) for wire in self.pollers))
            except (TimeoutError, OSError, AssertionError) as error:
                self.figures.failures.append(f"{device.name}: {error!r}")

    async def _get(self, wire: Wire, device: Device) -> tuple[bool, float]:
        """Whether a GET (RFC 6960, A.1) says held, and for how long the answer may be kept."""
        path = self.ocsp_path.rstrip("/") + "/" + base64.b64encode(device.request).decode().replace("/", "%2F")
        async with wire.busy:
            wire.writer.write(f"GET {path.replace('+', '%2B')} HTTP/1.1\r\nhost: {wire.host}\r\n\r\n".encode())
            head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = dict(line.partition(":")[::2] for line in head.splitlines()[1:] if line)
            answer = await wire.reader.readexactly(int(lines["content-length"]))
        assert head[9:12] == "200", head
        told = ocsp.load_der_ocsp_response(answer)
        control = lines.get("cache-control", "")
        age = float(control.partition("max-age=")[2].partition(",")[0] or 0) if "no-store" not in control else 0.0
        return told.certificate_status is ocsp.OCSPCertStatus.REVOKED, age

    async def _poll_get(self, wire: Wire, device: Device) -> float:
        async with asyncio.timeout(30):
            while not (await self._get(wire, device))[0]:  # noqa: ASYNC110 -- another program's answer
                await asyncio.sleep(0.01)
        return time.perf_counter()

    async def _poll_cache(self, wire: Wire, device: Device, fetched: float, age: float) -> float:
        """When a cache tells it that asks again only when it must."""
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(max(0.001, fetched + age - time.perf_counter()))
                fetched = time.perf_counter()
                held, age = await self._get(wire, device)
                if held:
                    return time.perf_counter()

    # --- a thousand at once ------------------------------------------------------------------------------------------

    async def batch(self, kind: str, held: bool, number: int) -> float:
        """``number`` signals within a second; seconds until the last answer of the last worker has changed."""
        start, cpu = time.perf_counter(), self._cpu()
        chosen = self.devices[:number]
        sending = [
            asyncio.create_task(self._at(start + place / number, device, kind, self.senders[place % 32]))
            for place, device in enumerate(chosen)
        ]
        waiting = [asyncio.create_task(self._all(wire, chosen, held)) for wire in self.pollers]
        await asyncio.gather(*sending)
        print(f"  {number} accepted after {time.perf_counter() - start:.1f} s")
        took = max(await asyncio.gather(*waiting)) - start
        print(f"  CPU of all of Troth's processes meanwhile: {self._cpu() - cpu:.1f} s")
        return took

    def _cpu(self) -> float:
        """CPU seconds of the Troth that runs, its database included: what a busy machine does not change much."""
        used = 0.0
        for process in psutil.Process(int(self.summary["bench_pid"])).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    async def _at(self, when: float, device: Device, kind: str, sender: Wire) -> None:
        await asyncio.sleep(max(0.0, when - time.perf_counter()))
        await self.signal("batch", device.name, kind, sender)

    async def _all(self, wire: Wire, devices: list[Device], held: bool) -> float:
        async with asyncio.timeout(_SETTLE_SECONDS):
            for device in devices:
                while await self._ask(wire, device) is not held:  # noqa: ASYNC110 -- another program's answer
                    await asyncio.sleep(0.05)
        return time.perf_counter()

    # --- silence -----------------------------------------------------------------------------------------------------

    async def silence(self) -> tuple[float, int]:
        """(cadences until the silence was said, changes of standing since)."""
        before, late, stale = await self._changes(), await self._newest("feed.late"), await self._newest("feed.stale")
        await self.signal("silent", self.devices[0].name, "edr.cleared", self.senders[0])
        start = time.perf_counter()
        async with asyncio.timeout(_CADENCE * 20):
            while await self._newest("feed.late") == late:  # noqa: ASYNC110 -- another program
                await asyncio.sleep(0.1)
            flagged = time.perf_counter() - start
            while await self._newest("feed.stale") == stale:  # noqa: ASYNC110 -- another program
                await asyncio.sleep(0.1)
        await asyncio.sleep(_CADENCE)
        return flagged / _CADENCE, await self._changes() - before

    async def _newest(self, kind: str) -> int:
        """The place in the ledger of the newest event of that kind about the feed."""
        found = (await self.admin.get("/events", params={"kind": kind, "ref": "feed:silent"})).raise_for_status().json()
        return int(found["items"][0]["index"]) if found["items"] else -1

    async def _changes(self) -> int:
        """The newest change of standing, by its place in the ledger; equal means that there was none."""
        found = (await self.admin.get("/events", params={"kind": "standing.changed", "limit": 1})).json()["items"]
        return int(found[0]["index"]) if found else -1

    # --- a broken feed -----------------------------------------------------------------------------------------------

    async def faulty(self, number: int) -> dict[str, float]:
        """A feed reports ``number`` of all devices, as fast as it is taken."""
        names = [device.name for device in self.devices] + self.others
        random.shuffle(names)
        suspended: list[float] = []
        start = time.perf_counter()
        watch = asyncio.create_task(self._suspended(start, suspended))
        queue = iter(names[:number])
        did: Counter[str] = Counter()

        async def send(place: int) -> None:
            for name in queue:
                did[" ".join(await self.signal("faulty", name, "edr.intrusion", self.senders[place]))] += 1

        await asyncio.gather(*(send(place) for place in range(len(self.senders))))
        print(f"  {sum(did.values())} accepted after {time.perf_counter() - start:.1f} s: {dict(did)}")
        await asyncio.wait([watch], timeout=60)
        watch.cancel()
        counts = await self._standings()
        restricted = sum(number for standing, number in counts.items() if standing != "trusted")
        revoked = (await self.admin.get("/certificates", params={"status": "revoked"})).raise_for_status().json()
        return {
            "faulty_feed_restricted_pct": round(100 * restricted / sum(counts.values()), 2),
            "faulty_feed_revoked": len(revoked["items"]),
            "feed_suspended_s": round(suspended[0], 2) if suspended else -1.0,
        }

    async def _suspended(self, start: float, found: list[float]) -> None:
        while True:
            feeds = (await self.admin.get("/feeds")).raise_for_status().json()
            if any(feed["name"] == "faulty" and feed["state"] == "suspended" for feed in feeds):
                found.append(time.perf_counter() - start)
                return
            await asyncio.sleep(0.2)

    async def _standings(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for standing in ("restricted", "quarantined", "distrusted"):
            cursor, number = "", 0
            while True:
                asked = {"standing": standing, "limit": 200, **({"cursor": cursor} if cursor else {})}
                page = (await self.admin.get("/subjects", params=asked)).raise_for_status().json()
                number += len(page["items"])
                cursor = page.get("next") or ""
                if not cursor:
                    break
            counts[standing] = number
        counts["trusted"] = len(self.devices) + len(self.others) - sum(counts.values())
        return counts


#: Two of each, and webhooks may be sent to this machine.
_CONFIGURATION = "[processes]\nstatus = 2\nweb = 2\n[egress]\nnetworks = ['127.0.0.0/8']\nplain_http = true\n"


async def _main(summary: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    house = House(summary, options.subjects, max(options.batch, 60))
    began = time.perf_counter()
    result: dict[str, float] = {}
    async with house.ready():
        print(f"{options.subjects} subjects, {len(house.devices)} certificates, {len(house.pollers)} status workers "
              f"(made in {time.perf_counter() - began:.0f} s)\n")  # fmt: skip
        await house.latency(options.rate, options.seconds, options.ocsp_load)
        rows = {"signal → 202": house.figures.accepted, "signal → OCSP, POST and GET": house.direct,
                "signal → OCSP through a cache": house.cached, "signal → webhook": house.webhook}  # fmt: skip
        print(f"{'from the request sent':<32}{'n':>6}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
        for name, values in rows.items():
            if values:
                cells = [_percentile(values, 0.5), _percentile(values, 0.99), max(values) * 1000]
                print(f"{name:<32}{len(values):>6}" + "".join(f"{cell:>10.1f}" for cell in cells))
        if house.direct:
            result |= {
                "signal_to_ocsp_p99_ms": round(_percentile(house.direct, 0.99), 1),
                "signal_to_ocsp_cached_p99_ms": round(_percentile(house.cached, 0.99), 1),
                "signal_to_webhook_p99_ms": round(_percentile(house.webhook, 0.99), 1),
            }
        print(f"\na batch of {options.batch} signals within a second")
        result["thousand_signals_s"] = round(await house.batch("edr.intrusion", True, options.batch), 2)
        print(f"  held everywhere after {result['thousand_signals_s']} s")
        back = await house.batch("edr.cleared", False, options.batch)
        print(f"  cleared again after {back:.1f} s\n\na feed with a cadence of {_CADENCE} s falls silent")
        cadences, changes = await house.silence()
        print(f"  said after {cadences:.2f} cadences; changes of standing: {changes}")
        result |= {"silent_flagged_cadences": round(cadences, 2), "silent_state_changes": changes}
    for failure in house.figures.failures[:10]:
        print(failure, file=sys.stderr)
    return result | {"failures": len(house.figures.failures)}


async def _broken(summary: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    house = House(summary, options.subjects, 60)
    async with house.ready():
        print(f"\na feed with the default caps reports {options.faulty} of {options.subjects} devices")
        return await house.faulty(options.faulty)


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description="enforcement on a whole Troth with many subjects")
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=15, help="signals per second while latency is measured")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--ocsp-load", type=float, default=150, help="OCSP requests per second beside the pollers")
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--faulty", type=int, default=10_000, help="devices that the broken feed reports")
    parser.add_argument("--quick", action="store_true", help="500 subjects, a batch of 100: whether it works")
    options = parser.parse_args()
    if options.quick:
        options.subjects, options.batch, options.faulty, options.seconds = 500, 100, 500, 6.0
    with started(_CONFIGURATION) as summary:
        result = uvloop.run(_main(summary, options))
    with started(_CONFIGURATION) as summary:
        result |= uvloop.run(_broken(summary, options))
    print(json.dumps(result))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
