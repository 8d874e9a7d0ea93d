"""Every statement, commit, signature and validation of one issuance fails in turn, in every way: nothing is lost.

One good run lists the calls. Then, for each call and each way to go wrong, a fresh process walks the same way (order,
proof, validation, finalize, download, ledger) until that call goes wrong; the next process recovers what it finds,
the client goes on from where its last answer left it, and every promise is held against the database.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from tests.chaos.applicant import Applicant
from tests.chaos.faults import Call, Faults, How, Plan
from tests.chaos.house import BASE, Ground, House, LocalNotary, WitnessedSigner, house
from tests.chaos.invariants import Seen, broken, unsequenced, unwitnessed
from tests.support.dns import DnsServer
from tests.support.mint import Mint
from tests.support.webroot import ChallengeWebRoot
from troth.audit.store import LedgerStore
from troth.audit.verify import verify_store
from troth.client.acme import AcmeClient
from troth.client.jose import SigningKey
from troth.kit.acme_settings import AcmeSettings
from troth.kit.clock import SystemClock
from troth.kit.errors import TrothError
from troth.kit.settings import Config
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800), pytest.mark.xdist_group("chaos-calls")]


class Walk:
    """Issuances one after the other, each in as many processes as it takes."""

    def __init__(
        self, ground: Ground, database: Database, issuer: x509.Certificate, web_root: ChallengeWebRoot
    ) -> None:
        self.ground = ground
        self.faults = ground.faults
        self.database = database
        self.issuer = issuer
        self.web_root = web_root
        self.key = SigningKey.generate()
        self.account_url = ""
        self.acknowledged: dict[str, set[bytes]] = {}
        self._number = 0

    async def register(self) -> None:
        """The account that all orders are of."""
        async with house(self.ground) as home:
            self.account_url = (await (await self._client(home)).register()).url

    async def run(self, *plans: Plan) -> list[list[Call]]:
        """One issuance: a process for each plan, in which those calls go wrong, and a last one, in which none does.

        Returns the calls of each process, up to the failure. Asserts every promise.
        """
        self._number += 1
        name = f"n{self._number}.chaos.test"
        signed_before = len(self.ground.signer.signed)
        calls: list[list[Call]] = []
        applicant: Applicant | None = None
        for number, plan in enumerate((*plans, {}), start=1):
            self.faults.arm(plan)
            async with house(self.ground) as home:
                client = await self._client(home)
                applicant = applicant or Applicant(name, client, self.web_root)
                applicant.client = client
                if plan:
                    await self._until_it_fails(self._walk(applicant, home))
                    assert not self.faults.left, "a call was not met again"
                    calls.append(list(self.faults.calls))
                    self._acknowledge(applicant)
                # A failure that leaves no doubt about what was done, the living process must cope with.
                if not plan or (number == len(plans) and not any(map(leaves_doubt, plan))):
                    await self.faults.walk(self._walk(applicant, home))
                    calls.append(list(self.faults.calls))
                    self._acknowledge(applicant)
                    break
        assert not await unsequenced(self.database)
        assert await unwitnessed(self.database) == 0
        seen = Seen(
            self.ground.signer.signed[signed_before:], {name: self.acknowledged[name]}, {"issuing": self.issuer}
        )
        assert await broken(self.database, seen, [name]) == []
        return calls

    async def _client(self, home: House) -> AcmeClient:
        url = f"{BASE}/acme/tls-server/directory"
        return await AcmeClient.open(url, key=self.key, transport=home.transport, account_url=self.account_url)  # type: ignore[arg-type]

    async def _walk(self, applicant: Applicant, home: House) -> None:
        self.faults.enter("recovering")
        await home.recover()
        if not applicant.pem:
            await applicant.obtain(enter=self.faults.enter, validate=home.validate, patience=10.0)
        self.faults.enter("sequencing")
        await home.sequence()
        self.faults.enter("witnessing")
        await home.witness()

    async def _until_it_fails(self, walk: Coroutine[Any, Any, None]) -> None:
        """Until the walk is over, or raises, or its process is dead."""
        task, death = self.faults.walk(walk), asyncio.create_task(self.faults.died.wait())
        await asyncio.wait((task, death), return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if self.faults.died.is_set():
            await self.faults.bury()
        # What a failing call may come to: for a client a typed refusal, for a duty whatever the database said.
        with contextlib.suppress(asyncio.CancelledError, TrothError, OSError, asyncpg.PostgresError):
            await task

    def _acknowledge(self, applicant: Applicant) -> None:
        if applicant.pem:
            der = applicant.certificate.public_bytes(Encoding.DER)
            self.acknowledged.setdefault(applicant.name, set()).add(der)


@pytest.fixture
def clock() -> SystemClock:
    """The gate's interlock holds this clock against the database's."""
    return SystemClock()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A thousand failures are logged here, with traces that take longer than the test."""
    with capture_logs():
        yield


@pytest.fixture
async def walk(
    mint: Mint, database_url: str, tmp_path: Path, applicant: tuple[ChallengeWebRoot, DnsServer]
) -> AsyncIterator[Walk]:
    """A ground with an account."""
    web_root, dns = applicant
    await PolicyService(mint.database, SystemClock()).apply_shipped(actor="test:chaos")
    faults = Faults(database_url)
    signer = WitnessedSigner(faults, mint.signer.keys["issuing-key"])
    config = Config(acme=AcmeSettings(http_port=web_root.port, resolver=dns.address))
    walk = Walk(
        Ground(database_url, faults, signer, LocalNotary(faults), tmp_path, config),
        mint.database,
        mint.issuer,
        web_root,
    )
    await walk.register()
    yield walk
    await faults.close()


def leaves_doubt(call: Call) -> bool:
    """Whether a failure of ``call`` leaves open what was done: of a commit, or of a call to somebody else."""
    return call.text == "COMMIT" or call.text.startswith("the ")


def ways(call: Call) -> list[How]:
    """How ``call`` may go wrong.

    What a process leaves behind when it dies changes at commits and at calls to others only; between two of them every
    death is the same, and so is every lost connection and every caller who gives up.
    """
    return list(How) if leaves_doubt(call) else [How.REFUSED, How.CUT_AFTER]


async def test_every_call_of_an_issuance_may_fail_in_every_way(walk: Walk, subtests: pytest.Subtests) -> None:
    [calls] = await walk.run()
    assert await walk.run() == [calls], "the walk is not the same twice"
    assert sum(call.text == "COMMIT" for call in calls) >= 6  # order, answer, result, reservation, certificate, ledger
    for call in calls:
        for how in ways(call):
            with subtests.test(f"{call} {how.value}"):
                await walk.run({call: how})
    await everything_holds(walk)


async def test_a_recovery_may_fail_as_well(walk: Walk, subtests: pytest.Subtests) -> None:
    """A process dies with a signature that nobody stored; whatever happens to the next one, the third one succeeds."""
    [calls] = await walk.run()
    signing = next(call for call in calls if call.text == "the signer certifies")
    death = {signing: How.DIED_AFTER}
    _, recovery = await walk.run(death)
    new = [
        call for call in recovery if call.stage == "recovering" or (call.stage == "finalizing" and call not in calls)
    ]
    assert any(call.text.startswith("UPDATE certificate c SET state = 'burnt'") for call in new)
    for call in new:
        for how in ways(call):
            with subtests.test(f"{call} {how.value}"):
                await walk.run(death, {call: how})
    await everything_holds(walk)


async def test_a_burn_may_fail_as_well(walk: Walk, subtests: pytest.Subtests) -> None:
    """The signer's answer gets lost, and then whatever the gate does about it."""
    [calls] = await walk.run()
    signing = next(call for call in calls if call.text == "the signer certifies")
    lost = {signing: How.CUT_AFTER}
    first, _ = await walk.run(lost)
    burning = first[first.index(signing) + 1 :]
    assert any(call.text.startswith("UPDATE certificate c SET state = 'burnt'") for call in burning)
    for call in burning:
        for how in ways(call):
            with subtests.test(f"{call} {how.value}"):
                await walk.run({**lost, call: how})
    await everything_holds(walk)


async def test_wake_ups_that_get_lost_cost_nothing_but_time(walk: Walk) -> None:
    walk.faults.deaf = True
    await walk.run()
    await everything_holds(walk)


async def everything_holds(walk: Walk) -> None:
    """The promises over all that was done in this test, and the ledger's proof."""
    seen = Seen(walk.ground.signer.signed, walk.acknowledged, {"issuing": walk.issuer})
    assert await broken(walk.database, seen) == []
    report = await verify_store(LedgerStore(walk.database), walk.ground.notary.key)
    assert report.faults == []
    assert report.signed == report.events
