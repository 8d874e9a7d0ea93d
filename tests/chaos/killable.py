"""``troth`` whose processes die where they are told to: ``python -m tests.chaos.killable up …``.

The product runs as it is, with trapdoors between its steps. A test opens one by writing a file
``$TROTH_CHAOS/armed/<role>.<step>``; the first process of that role which comes to that step with something that
concerns the file's first line (a name; empty: anything) moves the file to ``fired/`` and kills itself by SIGKILL, in
the middle of what it does; or the process whose number is in the second line. What the signer is about to sign it
writes to ``$TROTH_CHAOS/signed`` before.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

_HOME = Path(os.environ.get("TROTH_CHAOS", "/nonexistent"))
ARMED, FIRED, SIGNED = _HOME / "armed", _HOME / "fired", _HOME / "signed"


def strike(point: str, *met: object) -> None:
    """Die, if ``point`` is armed for anything in ``met``; or have somebody else die, who is named there."""
    try:
        needle, _, victim = (ARMED / point).read_text().partition("\n")
        if needle and needle not in repr(met):
            return
        (ARMED / point).rename(FIRED / point)
    except FileNotFoundError:
        return  # not armed, or another process was faster
    os.kill(int(victim or os.getpid()), signal.SIGKILL)


def meant(point: str, *met: object) -> bool:
    """Whether ``point`` is armed for anything in ``met``."""
    try:
        return (ARMED / point).read_text().partition("\n")[0] in repr(met)
    except FileNotFoundError:
        return False


def after(owner: Any, name: str, point: str, *, when: Callable[[Any], bool] = lambda _: True) -> None:
    """A trapdoor after ``owner.name``: what it did is done, and its caller never hears of it."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def trapped(*values: Any, **options: Any) -> Any:
        result = await original(*values, **options)
        if when(result):
            strike(point, values, options)
        return result

    @functools.wraps(original)
    def trapped_at_once(*values: Any, **options: Any) -> Any:
        result = original(*values, **options)
        strike(point, values, options)
        return result

    setattr(owner, name, trapped if asyncio.iscoroutinefunction(original) else trapped_at_once)


def during(owner: Any, name: str, point: str) -> None:
    """A trapdoor while ``owner.name`` waits for its answer: what was asked for has left this process."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def trapped(*values: Any, **options: Any) -> Any:
        asked = asyncio.ensure_future(original(*values, **options))
        if (ARMED / point).exists():
            for _ in range(3):  # until the loop has written what was asked
                await asyncio.sleep(0)
            await asyncio.sleep(random.random() * 0.002)
            strike(point, values, options)
        return await asked

    setattr(owner, name, trapped)


class Commits:
    """Trapdoors in the commits that a method makes: COMMIT is sent, its outcome not heard."""

    def __init__(self) -> None:
        from asyncpg.transaction import Transaction

        from troth.store.wire import Wire

        self._now: tuple[str, Any] | None = None
        original, exchange = Transaction.commit, Wire.exchange

        async def commit(transaction: Any) -> None:
            await self._sent(original(transaction))

        async def exchanged(wire: Wire, asks: Any) -> Any:
            if not any(ask.sql == "COMMIT" for ask in asks):
                return await exchange(wire, asks)
            return await self._sent(exchange(wire, asks))

        Transaction.commit = commit  # type: ignore[method-assign, assignment]
        Wire.exchange = exchanged  # type: ignore[method-assign]

    async def _sent(self, committing: Coroutine[Any, Any, Any]) -> Any:
        if self._now is None or not (ARMED / self._now[0]).exists():
            return await committing
        asked = asyncio.ensure_future(committing)
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.sleep(random.random() * 0.002)
        strike(*self._now)
        return await asked

    def of(self, owner: Any, name: str, point: str) -> None:
        """A trapdoor in the commits of ``owner.name``, while it runs for whoever the point is armed for."""
        original = getattr(owner, name)

        @functools.wraps(original)
        async def trapped(*values: Any, **options: Any) -> Any:
            if not meant(point, values):
                return await original(*values, **options)
            self._now = (point, values)
            try:
                return await original(*values, **options)
            finally:
                self._now = None

        setattr(owner, name, trapped)


def web() -> None:
    """From the order to the answer."""
    from troth.enroll.acme.direct import Direct
    from troth.enroll.acme.finalize import Finalizer
    from troth.enroll.acme.orders import OrderDesk
    from troth.pki import gate
    from troth.pki.signer.client import SignerClient
    from troth.trust.decision.decide import Judge

    commits = Commits()
    commits.of(gate.Gate, "_reserve", "web.reserving")
    commits.of(gate.Gate, "_store", "web.storing")
    after(OrderDesk, "place", "web.ordered")
    after(Direct, "answer", "web.answered")
    after(OrderDesk, "settle", "web.settled")
    after(Judge, "decide", "web.decided")
    after(gate.Gate, "_reserve", "web.reserved")
    after(gate, "lint", "web.linted")
    during(SignerClient, "certify", "web.asking")
    after(SignerClient, "certify", "web.told")
    after(gate.Gate, "_sign", "web.verified")
    after(gate.Gate, "_store", "web.stored")
    after(Finalizer, "finalize", "web.finalized")


def worker() -> None:
    """Validation, sequencer, checkpoints, burning."""
    from troth.assembly.notary import SignerNotary
    from troth.audit import sequencer
    from troth.enroll.acme.orders import OrderDesk
    from troth.enroll.acme.validate.validator import Validator
    from troth.pki.burn import Burner

    commits = Commits()
    commits.of(OrderDesk, "settle", "worker.settling")
    commits.of(Burner, "burn", "worker.burning")
    after(Validator, "validate", "worker.validated")
    after(OrderDesk, "settle", "worker.settled")
    after(sequencer, "_appended", "worker.moving")  # the inbox's rows and the head are locked, nothing is written yet
    after(sequencer.Sequencer, "move", "worker.moved", when=bool)
    after(SignerNotary, "extend", "worker.witnessed")
    after(Burner, "burn", "worker.burnt")


def signer() -> None:
    """Signatures and checkpoints. The bytes are written down before the memory lets them be signed."""
    from troth.pki.signer.desk import Desk
    from troth.pki.signer.memory import Memory
    from troth.pki.signer.notary import Notary

    certify, check, replace = Desk._certify, Memory.check, os.replace
    asked: list[Any] = []

    def certifying(desk: Desk, request: Any) -> Any:
        asked[:] = [request]
        strike("signer.asked", request)
        answer = certify(desk, request)
        strike("signer.signed", request)
        return answer

    def checking(memory: Memory, *values: Any) -> None:
        check(memory, *values)
        with SIGNED.open("a") as file:
            file.write(asked[0].tbs.hex() + "\n")
        strike("signer.remembering", asked)

    def replacing(source: Any, target: Any, **options: Any) -> None:
        strike("signer.witnessing", target)
        replace(source, target, **options)

    Desk._certify, Memory.check, os.replace = certifying, checking, replacing  # type: ignore[method-assign, assignment]
    after(Notary, "checkpoint", "signer.witnessed")


def command(role: str, layout: Any) -> list[str]:
    """How the supervisor starts a role's process."""
    return [sys.executable, "-P", "-m", "tests.chaos.killable", "serve", "--role", role, "--data", str(layout.root)]


def main() -> int:
    """Open the trapdoors of what is to run, then run it."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["up"]:
        from troth.assembly import children
        from troth.assembly.supervisor import Supervisor
        from troth.cli import up

        up.Supervisor = functools.partial(Supervisor, command=command)  # type: ignore[attr-defined, assignment]
        # Nothing that dies as often as here by itself would deserve so short a pause.
        children._LONGEST_PAUSE = 0.4
    elif arguments[:1] == ["serve"]:
        {"web": web, "worker": worker, "signer": signer}.get(arguments[2], lambda: None)()
    from troth.cli.main import main as troth

    return troth()


if __name__ == "__main__":
    sys.exit(main())
