"""What every connector bears: the faults that each vendor's API has some day, and what must come of them.

await bears_failures(connected, fake, read="log", path="/api/v1/logs", happen=lambda: okta.happens(...))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support.vendors.harness import Connected
from tests.support.vendors.server import FakeVendor, Fault
from troth.connect.errors import ConnectorError, Throttled
from troth.kit.http import HttpFailed

#: Faults by which a pull fails, and what the failure is called.
FAILURES = {
    "cut off": (Fault(cut=9), "connector.answer"),
    "no JSON": (Fault(status=200, body=b"<html>sorry</html>"), "connector.answer"),
    "another shape": (Fault(status=200, body="sorry"), "connector.answer"),
    "failing": (Fault(status=503, times=9), "connector.vendor_failed"),
    "silent": (Fault(silent=True), "http.unreachable"),
    "elsewhere": (Fault(status=302, headers={"location": "https://evil.example/"}), "connector.answer"),
}


async def bears_failures(
    connected: Connected, fake: FakeVendor, *, read: str, path: str, happen: Callable[[], object]
) -> None:
    """Each failure has its name, moves no cursor, loses nothing and doubles nothing."""
    await connected.pull(read)
    count = len(await connected.signals())
    for name, (fault, code) in FAILURES.items():
        happen()
        fake.faults.append(Fault(**{**vars(fault), "path": path}))
        with pytest.raises((ConnectorError, HttpFailed)) as caught:
            await connected.pull(read)
        assert caught.value.code == code, name
        fake.faults.clear()
        await connected.pull(read)
        await connected.pull(read)
        count += 1
        assert len(await connected.signals()) == count, name
        connected.clock.advance(timedelta(seconds=1))


async def makes_pauses(connected: Connected, fake: FakeVendor, *, read: str, path: str, header: str) -> None:
    """A short pause is sat out; a long one ends the pull, and nobody asks again before it is over."""
    fake.faults.append(Fault(path, status=429, headers={header: _pause(fake, header, 7)}))
    began = connected.clock.now()
    await connected.pull(read)
    assert connected.clock.now() - began >= timedelta(seconds=6)
    fake.faults.append(Fault(path, status=429, headers={header: _pause(fake, header, 600)}))
    with pytest.raises(Throttled):
        await connected.pull(read)
    began = connected.clock.now()
    await connected.pull(read)
    assert connected.clock.now() - began >= timedelta(seconds=598)


async def renews_its_token(connected: Connected, fake: FakeVendor, *, read: str) -> None:
    """A token that is refused is asked for anew, once; one that ends soon is renewed before."""
    await connected.pull(read)
    asked = len(fake.seen(fake.token_path))
    fake.forget_tokens()
    await connected.pull(read)
    assert len(fake.seen(fake.token_path)) == asked + 1
    connected.clock.advance(timedelta(seconds=fake.token_seconds - 30))
    await connected.pull(read)
    assert len(fake.seen(fake.token_path)) == asked + 2


async def gives_up_on_slow_answers(
    connected: Connected, fake: FakeVendor, monkeypatch: pytest.MonkeyPatch, *, read: str, path: str
) -> None:
    """An answer that does not come is given up by its own name."""
    import msgspec

    from tests.support.vendors import harness
    from troth.connect.desk import Opener
    from troth.connect.vendors import Workshop

    impatient = msgspec.structs.replace(harness.EGRESS, timeout_seconds=1)
    workshop = Workshop(connected.clock, impatient, sleep=connected.sleep)
    monkeypatch.setattr(connected.desk, "opener", Opener(connected.trust.database, connected.desk._box, workshop))
    never = asyncio.Event()
    fake.faults.append(Fault(path, slow=never))
    try:
        with pytest.raises(HttpFailed) as caught:
            await connected.pull(read)
        assert caught.value.code == "http.timeout"
    finally:
        never.set()


def _pause(fake: FakeVendor, header: str, seconds: int) -> str:
    at_moment = header.endswith("reset") or header.startswith("x-ratelimit")
    return str(int(fake.clock.now().timestamp()) + seconds) if at_moment else str(seconds)
