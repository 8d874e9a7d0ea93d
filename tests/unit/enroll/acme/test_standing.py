"""Standing proofs are looked for within a moment, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from troth.enroll.acme.directories import Directory
from troth.enroll.acme.model import DNS_PERSIST_01, Account, Authorization
from troth.enroll.acme.model import Challenge as Stored
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.standing import StandingProofs
from troth.enroll.acme.validate.outcome import Challenge, Invalid, Valid
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id

DIRECTORY = Directory("open", ("tls-server",), challenges=(DNS_PERSIST_01,), issuers=("ca.test",))


class Never:
    """A resolver that somebody keeps waiting."""

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        await asyncio.Event().wait()
        raise AssertionError


ACCOUNT = Account(new_id(), "web", "thumbprint", b"", "valid", (), True, datetime(2026, 1, 1, tzinfo=UTC))


class AtOnce:
    """One that answers."""

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        return Valid(())


async def test_an_order_does_not_wait_for_other_peoples_look_ups(clock: FakeClock) -> None:
    """Names whose servers never answer would hold every order of the directory up."""
    authz = Authorization(
        id=new_id(), order_id=new_id(), account_id=new_id(), identifier=Identifier("dns", "a.test"), wildcard=False,
        status="pending", expires=clock.now() + timedelta(hours=1),
        challenges=(Stored(DNS_PERSIST_01, "t", "pending"),),
    )  # fmt: skip
    proofs = StandingProofs(Never(), clock, timedelta(hours=8), longest=0.01)
    made = {Identifier("dns", f"{n}.test"): replace(authz, id=new_id()) for n in range(30)}
    found = await proofs.all_of(made, DIRECTORY, "https://ca/acct/1", ACCOUNT)
    assert {one.status for one in found.values()} == {"pending"}
    served = StandingProofs(AtOnce(), clock, timedelta(hours=8))
    assert (await served.of(authz, DIRECTORY, "https://ca/acct/1")).status == "valid"
