"""RADIUS beside Debian's FreeRADIUS: CPU of a whole EAP-TLS authentication, how workers share, and no wrong accept.

    python -m bench.radius [--rounds 5] [--count 400] [--trials 100000] [--part cost] [--part workers] [--part memory]
                           [--part trials] [--part disconnect] [--seconds 3600]

* **cost**: a Troth of its own (one RADIUS worker; journal, ledger, sessions, posture and policy on) and FreeRADIUS as
  Debian ships it, with the same features on: decisions and accounting into PostgreSQL, which is asked for the device's
  posture at each decision (``bench.radius_sql``): *threaded*, with one thread, and with one thread on an OpenSSL as new
  as Troth's; and *threaded files*, which writes files and asks nobody. All at once on this machine and loaded in turn,
  there and back. CPU of a server's processes per authentication, medians over the rounds, that of its PostgreSQL apart;
  the same devices, P-256 chains of the same form, every conversation verified to its keys.
* **workers**: two workers beside one, and two FreeRADIUS beside one; how one source port is split between two workers.
* **memory**: of a conversation that stands after its ClientHello; of 100,000 devices in the trust table.
* **trials**: ``bench.radius_trials``. **disconnect**: ``bench.sessions``.

The last line is JSON. Needs Debian's freeradius and freeradius-postgresql.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from cryptography import x509

from bench import radius_trials
from bench.radius_house import SSID, House, house, seconds_of
from bench.radius_peers import Peer, freeradius, modern_openssl
from bench.radius_sql import Tables, tables
from tests.support.radius_devices import Supplicant, Version
from tests.support.radius_house import Papers
from tests.support.radius_load import Load, Manner

PARTS = ("cost", "workers", "memory", "trials", "disconnect")
#: As many stations: no device begins twice at the same time, which would end its first conversation.
_DEVICES = _STATIONS = 16
#: Seconds in which Troth's worker has carried decisions and sessions on into the database.
_CARRIED_ON = 1.0
_KINDS: dict[str, tuple[Version, bool]] = {
    "full12": ("1.2", False),
    "full13": ("1.3", False),
    "resumed12": ("1.2", True),
    "resumed13": ("1.3", True),
}


@dataclass
class Sample:
    """CPU milliseconds per authentication of each round, and what else was seen.

    Attributes:
        ms: of the server. database: of its PostgreSQL.
        whole: of every process there is, with what is carried on in the second after.
    """

    ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.ms)

    @property
    def stored(self) -> float:
        """CPU milliseconds of the database per authentication."""
        return statistics.median(self.database)


# --- cost --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _peers(here: House, home: Path, names: Sequence[str]) -> Iterator[list[Peer]]:
    """FreeRADIUS in these forms, each believing Troth's authorities as Troth does."""
    papers = Papers(home, "Bench")
    server = papers.issue("radius.bench.test", x509.oid.ExtendedKeyUsageOID.SERVER_AUTH)
    clients = home / "clients.pem"
    issuers = {one.credential.chain.read_text().split("-----END CERTIFICATE-----\n", 1)[1] for one in here.holders}
    clients.write_text("".join(sorted(issuers)) + here.root.read_text())
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(tables(one.credential for one in here.holders))
        modern = modern_openssl() if "modern" in names else None
        forms: dict[str, tuple[bool, Path | None, Tables | None]] = {
            "threaded": (False, None, database),
            "files": (False, None, None),
            "single": (True, None, database),
            "another": (True, None, database),
            "modern": (True, modern, database),
        }
        found = []
        for name in names:
            single, libraries, kept = forms[name]
            if name == "modern" and modern is None:
                continue
            one = freeradius(
                home / name, server.chain, server.key, clients, papers.root,
                single=single, libraries=libraries, database=kept,
            )  # fmt: skip
            found.append(stack.enter_context(one))
        yield found


def _measure(
    here: House,
    peer: Peer,
    kind: str,
    count: int,
    sample: Sample,
    *,
    beside: Sequence[Peer] = (),
    whole: Callable[[], float] | None = None,
) -> None:
    """``beside``: loaded with it, half each; the sample is of all. ``whole``: CPU seconds of every process."""
    version, resume = _KINDS[kind]
    # FreeRADIUS 3.2.1 says MA last, and keeps the first session of a device alone.
    manner = Manner(resume=resume, sticky=resume, insists=False, ssid=SSID)
    devices = here.devices(version, peer.root)
    address, more = ("127.0.0.1", peer.port), [("127.0.0.1", one.port) for one in beside]
    with Load(address, peer.secret, devices, stations=_STATIONS, manner=manner, beside=more) as load:
        load.run(3 * _STATIONS)
        pids = _with_children((*peer.pids, *(pid for one in beside for pid in one.pids)))
        everything = whole() if whole is not None else 0.0
        before, stored = seconds_of(pids), seconds_of(list(peer.database()))
        outcome = load.run(count)
        spent, stored = seconds_of(pids) - before, seconds_of(list(peer.database())) - stored
    if outcome.accepted != count or outcome.cheats:
        raise SystemExit(f"{peer.name}: {dict(outcome.ended)} {dict(outcome.cheats)} of {count} ({kind})")
    if resume and outcome.resumed < count * 0.95:
        raise SystemExit(f"{peer.name} resumed {outcome.resumed} of {count} ({kind})")
    sample.ms.append(spent / count * 1000)
    sample.database.append(max(stored, 0.0) / count * 1000)
    sample.rate.append(count / outcome.wall)
    if whole is not None:
        time.sleep(_CARRIED_ON)
        sample.whole.append((whole() - everything) / count * 1000)


def _with_children(pids: tuple[int, ...]) -> list[int]:
    found = set(pids)
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found |= {one.pid for one in psutil.Process(pid).children(recursive=True)}
    return sorted(found)


def cost(rounds: int, count: int) -> dict[str, Any]:
    """CPU per authentication, beside FreeRADIUS in the same minutes."""
    with tempfile.TemporaryDirectory(prefix="troth-bench-radius-") as directory:
        home = Path(directory)
        with (
            house(home, workers=1, devices=_DEVICES, patient=True) as here,
            _peers(here, home, ("threaded", "files", "single", "modern")) as others,
        ):
            everybody = [here.peer(), *others]
            samples = {(kind, peer.name, peer.library): Sample() for kind in _KINDS for peer in everybody}
            for number in range(rounds):
                order = everybody if number % 2 == 0 else everybody[::-1]
                for kind in _KINDS:
                    for peer in order:
                        whole = here.whole if peer is everybody[0] else None
                        _measure(here, peer, kind, count, samples[kind, peer.name, peer.library], whole=whole)
            return _cost_figures(everybody, samples)


def _cost_figures(everybody: list[Peer], samples: dict[tuple[str, str, str], Sample]) -> dict[str, Any]:
    ours, threaded = everybody[:2]
    print(f"\n{'CPU ms per authentication':<44}" + "".join(f"{kind:>12}" for kind in _KINDS))
    for peer in everybody:
        name = f"{peer.name}, {' '.join(peer.library.split()[:2])}"
        cells = [samples[kind, peer.name, peer.library] for kind in _KINDS]
        print(f"{name:<44}" + "".join(f"{one.median:>12.2f}" for one in cells))
        spread = "".join(f"{min(one.ms):>6.2f}-{max(one.ms):<5.2f}" for one in cells)
        print(f"{'':<44}{spread}")
        if any(any(one.database) for one in cells):
            print(f"{'  its PostgreSQL':<44}" + "".join(f"{one.stored:>12.2f}" for one in cells))
    mine = [samples[kind, ours.name, ours.library] for kind in _KINDS]
    theirs = [samples[kind, threaded.name, threaded.library] for kind in _KINDS]
    figures: dict[str, Any] = {
        "whole_troth_cpu_ms": round(statistics.mean(statistics.median(one.whole) for one in mine), 3),
        "whole_freeradius_cpu_ms": round(statistics.mean(one.median + one.stored for one in theirs), 3),
        "openssl_troth": ours.library,
        "openssl_freeradius": everybody[1].library,
    }
    for kind, own, other in zip(_KINDS, mine, theirs, strict=True):
        figures[f"{kind}_cpu_ms"] = round(own.median, 3)
        figures[f"{kind}_postgresql_ms"] = round(own.stored, 3)
        figures[f"{kind}_freeradius_postgresql_ms"] = round(other.stored, 3)
        names = ("freeradius", "freeradius_files", "freeradius_single", "freeradius_equal_openssl")
        for name, peer in zip(names, everybody[1:], strict=False):
            ratio = own.median / samples[kind, peer.name, peer.library].median
            figures[f"{kind}_vs_{name}"] = round(ratio, 3)
    if len(everybody) > 4:
        figures["openssl_equal"] = everybody[4].library
    return figures


# --- workers -----------------------------------------------------------------------------------------------------


def workers(rounds: int, count: int) -> dict[str, Any]:
    """Two workers beside one, and one source port between two.

    The control: FreeRADIUS of one thread, alone and two of them, which share nothing but the machine and the load.
    """
    with tempfile.TemporaryDirectory(prefix="troth-bench-radius-") as directory:
        homes = [Path(directory) / name for name in ("one", "two")]
        for home in homes:
            home.mkdir()
        with (
            house(homes[0], workers=1, devices=_DEVICES, patient=True) as one,
            house(homes[1], workers=2, devices=_DEVICES, patient=True) as two,
            _peers(one, homes[0], ("single", "another")) as (other, another),
        ):
            samples, control = {1: Sample(), 2: Sample()}, {1: Sample(), 2: Sample()}
            for number in range(rounds):
                for which in (1, 2) if number % 2 == 0 else (2, 1):
                    here = one if which == 1 else two
                    _measure(here, here.peer(), "full13", count, samples[which])
                    _measure(one, other, "full13", count, control[which], beside=(another,) if which == 2 else ())
            manner = Manner(ports=1, ssid=SSID)
            with Load(two.address, two.secret, two.devices("1.3"), stations=_STATIONS, manner=manner) as load:
                load.run(2 * _STATIONS)
                before = [seconds_of([worker.pid]) for worker in two.workers()]
                outcome = load.run(2 * count)
                spent = [seconds_of([w.pid]) - b for w, b in zip(two.workers(), before, strict=True)]
            if outcome.accepted != 2 * count:
                raise SystemExit(f"one port: {dict(outcome.ended)}")
    share = 100 * spent[0] / sum(spent)
    ratio, theirs = samples[2].median / samples[1].median, control[2].median / control[1].median
    print(
        f"\ntwo workers cost {ratio:.3f} of one per authentication, two FreeRADIUS of one thread each {theirs:.3f} of "
        f"one; one port is split {share:.0f} : {100 - share:.0f}"
    )
    return {
        "two_workers_vs_one": round(ratio, 3),
        "freeradius_two_vs_one": round(theirs, 3),
        "one_port_split_percent": round(share, 1),
    }


# --- memory ------------------------------------------------------------------------------------------------------


def memory() -> dict[str, Any]:
    """What half-open conversations, and the trust table, take."""
    with (
        tempfile.TemporaryDirectory(prefix="troth-bench-radius-") as directory,
        house(Path(directory), workers=1, devices=1) as here,
    ):
        (worker,) = here.workers()
        before = worker.memory_full_info().uss
        number = _half_open(here, 800)
        each = (worker.memory_full_info().uss - before) / number / 1024
    done = subprocess.run(
        [sys.executable, "-m", "bench.radius_table", "--devices", "100000"], capture_output=True, text=True, check=False
    )
    table: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    print(f"\na conversation after its ClientHello takes {each:.0f} KiB; the trust table: {table or 'not measured'}")
    return {"conversation_kib": round(each, 1), **{f"table_{name}": value for name, value in table.items()}}


def _half_open(here: House, wanted: int) -> int:
    """Begin conversations with a ClientHello, and leave them so; how many."""
    begun = 0
    device = here.devices("1.3")[0]

    class Stopping(Supplicant):
        """Says its ClientHello, and nothing more."""

        asked = 0

        def answer(self, request: bytes) -> bytes:
            nonlocal begun
            self.asked += 1
            if self.asked == 2:
                begun += 1
                raise TimeoutError
            return super().answer(request)

    with Load(here.address, here.secret, [device], stations=1, manner=Manner(ssid=SSID)) as load:
        for _ in range(wanted):
            with contextlib.suppress(TimeoutError):
                load.once(Stopping(device.context, device.identity))
    return max(begun, 1)


# --- the rest ----------------------------------------------------------------------------------------------------


def trials(number: int, most_seconds: float) -> dict[str, Any]:
    """Holds and releases; see ``bench.radius_trials``."""
    with (
        tempfile.TemporaryDirectory(prefix="troth-bench-radius-") as directory,
        house(Path(directory), workers=2, devices=_DEVICES) as here,
    ):
        begun = time.monotonic()
        found = radius_trials.run(here, number, most_seconds=most_seconds)
        seconds = time.monotonic() - begun
    effective = sorted(found.effective_ms)
    print(
        f"\n{found.trials} trials among {sum(found.ended.values())} attempts in {seconds:.0f} s ({dict(found.ended)}, "
        f"{found.resumed} resumed), {found.holds} holds, {found.killed} workers killed, {found.cut} streams cut: "
        f"{len(found.wrong)} wrong accepts; a hold is effective after {effective[len(effective) // 2]:.0f} ms (median)"
    )
    for line in found.wrong[:10]:
        print(f"  {line}")
    return {
        "trials": found.trials,
        "wrong_accepts": len(found.wrong),
        "trial_holds": found.holds,
        "trial_attempts": sum(found.ended.values()),
        "hold_effective_p50_ms": round(effective[len(effective) // 2], 1),
        "hold_effective_max_ms": round(effective[-1], 1),
    }


def disconnect() -> dict[str, Any]:
    """From a signal to the acknowledged Disconnect: ``bench.sessions``."""
    done = subprocess.run([sys.executable, "-m", "bench.sessions"], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr[-2000:] if done.returncode else "")
    if done.returncode:
        raise SystemExit("bench.sessions failed")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400, help="authentications of one sample")
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600, help="trials end after so long at the latest")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be given several times")
    options = parser.parse_args()
    parts = {
        "cost": lambda: cost(options.rounds, options.count),
        "workers": lambda: workers(options.rounds, options.count),
        "memory": memory,
        "trials": lambda: trials(options.trials, options.seconds),
        "disconnect": disconnect,
    }
    figures: dict[str, Any] = {}
    for name in options.part or PARTS:
        figures |= parts[name]()
    print(json.dumps(figures))
    return 1 if figures.get("wrong_accepts") else 0


if __name__ == "__main__":
    sys.exit(main())
