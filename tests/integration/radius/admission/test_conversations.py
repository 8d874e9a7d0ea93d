"""What was decided is in database and ledger once, whoever dies in between; what is forged is told to people."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.radius.admission.conftest import Campus
from tests.support.drains import PromptDrain
from tests.unit.radius.admission.world import Facts, issue
from troth.radius.admission.conversation_store import Sought, found
from troth.radius.admission.conversations import NOTE
from troth.radius.admission.keeping import take
from troth.trust.connecting.journal import Journal, ended


async def test_an_admission_is_in_database_and_ledger_once_though_it_is_carried_over_twice(
    campus: Campus, tmp_path: Path
) -> None:
    subject, certificate = await campus.device()
    attempt = await campus.attempt(certificate, identity="@corp.example")
    verdict = await campus.admissions.admit(attempt)
    assert verdict is not None
    made = await campus.admissions.record(attempt, verdict, [(0.0, "the supplicant began")])
    await campus.journal.end()
    paths = ended(campus.journal.directory)
    data = [path.read_bytes() for path in paths]
    assert await campus.drain.once() == 2
    for path, octets in zip(paths, data, strict=True):
        path.write_bytes(octets)  # as if it had died before it removed the file
    await campus.drain.once()
    database = campus.trust.database
    for sought in (Sought(mac="02-00-00-00-00-01"), Sought(subject=subject), Sought(certificate=certificate)):
        assert [one.id for one in await found(database, sought)] == [made.id]
    kinds = [kind for kind, _ in await _events(campus) if kind == "decision.made"]
    assert len(kinds) == 1


async def test_a_process_that_stores_no_conversations_leaves_the_journal_to_one_that_does(
    campus: Campus, tmp_path: Path
) -> None:
    _, certificate = await campus.device()
    attempt = await campus.attempt(certificate)
    verdict = await campus.admissions.admit(attempt)
    assert verdict is not None
    dead = Journal.open(tmp_path / "journals")
    await dead.record(verdict.decisions, actor="radius:corp", notes=[(NOTE, b'{"id":"x"}')])
    await dead.close()
    database, clock = campus.trust.database, campus.trust.clock
    other = Journal.open(tmp_path / "journals")
    assert await PromptDrain(database, other, clock).once() == 0
    assert await PromptDrain(database, other, clock, takers={NOTE: take}).once() == 2
    assert not dead.directory.exists()
    await other.close()


async def test_a_certificate_that_only_an_authority_s_key_has_signed_is_told_to_people(campus: Campus) -> None:
    mint = campus.trust.mint
    key = mint.signer.keys["issuing-key"]
    forged = issue(
        "laptop-1", mint.issuer, signer=key, key=ec.generate_private_key(ec.SECP256R1()),
        begins=mint.issuer.not_valid_before_utc, ends=mint.issuer.not_valid_after_utc,
    )  # fmt: skip
    _, certificate = await campus.device()
    leaf = forged.public_bytes(Encoding.DER)
    facts = Facts((leaf, mint.issuer.public_bytes(Encoding.DER)))
    attempt = await campus.attempt(certificate, facts=facts)
    verdict = await campus.admissions.admit(attempt)
    assert verdict is not None
    assert verdict.reason == "trust.connect.certificate_unknown"
    await campus.admissions.record(attempt, verdict, [])
    async with asyncio.timeout(120):
        while not await campus.drain.once():  # nobody waits for the disk with a denial
            await asyncio.sleep(0.01)
    told = [data for kind, data in await _events(campus) if kind == "network.forged_certificate"]
    assert [one["sha256"] for one in told] == [facts.sha256.hex()]


async def _events(campus: Campus) -> list[tuple[str, dict[str, object]]]:
    from troth.audit.store import LedgerStore

    await campus.effective()
    return [(one.kind, dict(one.data)) for one in await LedgerStore(campus.trust.database).latest(200)]
