"""Ceremonies that are killed, or fail, at the nth thing they do: a process that forks one for each n.

Run as ``python -m tests.chaos.killable_ceremony DIRECTORY root|root-crl kill|fail``; prints one JSON line per n. It is
a process of its own so that it may fork: it has no threads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.ceremonies import Office
from troth.kit.errors import TrothError
from troth.pki.ceremony import custody
from troth.pki.ceremony.plan import Plan
from troth.pki.ceremony.proof import prove_results

PRESENT = ("Anna", "Cleo", "Emil")
SIGNING = "signing_function"
#: Everything by which a ceremony changes the disk or uses a key.
TOUCHED = ("fsync", "replace", "rename", "write", "mkdir")


def break_at(count: int, how: str) -> list[int]:
    """Let the ``count``-th touch of disk or key be the last thing, or fail; answers what is left till then."""
    left = [count]

    def touch() -> None:
        left[0] -= 1
        if left[0] == 0:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(28, "no space left")

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            touch()
            return real(*arguments, **named)

        return call

    setattr(os, "fsync", lambda _: None)  # noqa: B010 - a killed process loses nothing that the kernel has
    for name in TOUCHED:
        setattr(os, name, wrapped(getattr(os, name)))
    real_sign = getattr(custody, SIGNING)
    setattr(custody, SIGNING, lambda key: wrapped(real_sign(key)))
    return left


def note_signatures(log: Path) -> None:
    """Write down what is signed before it is."""
    real = getattr(custody, SIGNING)

    def signing_function(key: Any) -> Callable[[bytes], bytes]:
        sign = real(key)

        def noted(message: bytes) -> bytes:
            with log.open("a") as file:
                file.write(message.hex() + "\n")
            return bytes(sign(message))

        return noted

    setattr(custody, SIGNING, signing_function)


def forked(act: Callable[[], None]) -> int:
    """The exit status of ``act`` in a child; 9 for one that was killed."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except TrothError as error:
            os._exit(7 if error.code == "ceremony.output.exists" else 3)
        except BaseException as error:  # noqa: BLE001 - the parent must hear of it
            sys.stderr.write(f"{error!r}\n")
            os._exit(5)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def attempt(office: Office, plan: Plan, log: Path, count: int, how: str) -> int:
    """One run that ends at its ``count``-th touch."""

    def act() -> None:
        note_signatures(log)
        left = break_at(count, how)
        office.hold(plan, *PRESENT)
        if left[0] <= 0:
            os._exit(1)  # it went on without what failed

    return forked(act)


def main() -> None:
    """See the module."""
    base, kind, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    setattr(os, "fsync", lambda _: None)  # noqa: B010
    rooted = Office(base / "rooted")
    rooted.directory.mkdir()
    # Once for all: linter and program digest are in memory before the forks.
    rooted.hold(rooted.plan("root.yaml", rooted.root(algorithm="p256")))
    ended, count = False, 0
    while not ended:
        count += 1
        office, name = rooted, f"made-{count:03}"
        directory = office.directory / name
        log = base / f"{name}.log"
        if kind == "root-crl":
            document = office.crl(name, key=office.existing(algorithm="p256"))
        else:
            document = office.root(name, "p256")
        plan = office.plan(f"{name}.yaml", document)
        first = attempt(office, plan, log, count, how)
        ended = first == 0
        whole_before = directory.exists()
        again = attempt(office, plan, log, 10_000, how)
        proved, beside = prove_results(directory / "transcript.jsonl")
        signed = log.read_text().split() if log.exists() else []
        line = {
            "first": first,
            "whole_before": whole_before,
            "again": again,
            "missing": sorted(set(proved.outputs) - set(beside)),
            "different_messages": len(set(signed)),
            "left": sorted(path.name for path in office.directory.iterdir() if path.name.endswith(".partial")),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
