"""CAA before a certificate is made: which names are looked at again, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.support.clocks import FakeClock
from troth.enroll.acme.caa_recheck import FRESH, CaaRecheck
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import Authorization, Challenge, Order
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.caa import CaaRecord
from troth.enroll.acme.validate.network import NetworkPolicy
from troth.enroll.acme.validate.validator import ValidationSettings, Validator
from troth.enroll.acme.views import rfc3339
from troth.kit.addresses import Address

NAME = Identifier("dns", "a.example")
DIRECTORY = Directory("web", ("tls-server",), caa=True, issuers=("ca.example",))


class Zone:
    """Forbids, and remembers who was asked for."""

    def __init__(self, *, silent: bool = False) -> None:
        self.asked: list[str] = []
        self.silent = silent

    async def addresses(self, name: str) -> list[Address]:
        raise AssertionError(name)

    async def texts(self, name: str) -> list[bytes]:
        raise AssertionError(name)

    async def caa(self, name: str) -> list[CaaRecord]:
        self.asked.append(name)
        if self.silent:
            await asyncio.Event().wait()
        return [CaaRecord(0, "issue", b";")]


def looking(zone: Zone) -> Validator:
    return Validator(ValidationSettings(), network=NetworkPolicy(), resolver=zone)


def order(*names: Identifier) -> Order:
    expires = datetime(2026, 4, 1, tzinfo=UTC)
    return Order(uuid4(), uuid4(), "tls-server", "ready", names or (NAME,), None, expires, None, 0, None, None)


def proof(clock: FakeClock, ago: timedelta, **more: object) -> Authorization:
    done = Challenge("dns-01", "t", "valid", rfc3339(clock.now() - ago), **more)  # type: ignore[arg-type]
    expires = clock.now() + timedelta(hours=1)
    return Authorization(uuid4(), uuid4(), uuid4(), NAME, False, "valid", expires, (done,))


@pytest.mark.parametrize(
    ("ago", "more", "asked"),
    [
        (timedelta(0), {}, False), (FRESH - timedelta(seconds=1), {}, False), (FRESH, {}, True),
        (timedelta(0), {"by": "enrolment"}, True),
    ],
)  # fmt: skip
async def test_a_name_is_looked_at_again_when_that_was_long_ago_or_never(
    clock: FakeClock, ago: timedelta, more: dict[str, object], asked: bool
) -> None:
    zone = Zone()
    checking = CaaRecheck(looking(zone), clock).check(
        order(), {NAME: proof(clock, ago, **more)}, DIRECTORY, "https://a/1"
    )
    if asked:
        with pytest.raises(AcmeProblem, match="allows nobody"):
            await checking
    else:
        await checking
    assert zone.asked == (["a.example"] if asked else [])


async def test_addresses_and_directories_without_caa_are_passed_over(clock: FakeClock) -> None:
    zone, address = Zone(), Identifier("ip", "192.0.2.1")
    old = proof(clock, FRESH)
    await CaaRecheck(looking(zone), clock).check(order(), {NAME: old}, replace(DIRECTORY, caa=False), "https://a/1")
    await CaaRecheck(looking(zone), clock).check(order(address), {address: old}, DIRECTORY, "https://a/1")
    assert zone.asked == []


async def test_a_server_that_is_silent_is_no_permission_and_not_waited_for(clock: FakeClock) -> None:
    recheck = CaaRecheck(looking(Zone(silent=True)), clock, longest=0.01)
    with pytest.raises(AcmeProblem) as caught:
        await recheck.check(order(), {NAME: proof(clock, FRESH)}, DIRECTORY, "https://a/1")
    assert caught.value.reason.code == "acme.validation.dns"
    assert caught.value.subproblems[0].identifier == NAME
