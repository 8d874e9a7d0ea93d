"""The second look at issued leaves finds what the fast lint let through, and says so in the ledger."""

from __future__ import annotations

from tests.support.mint import Mint
from troth.pki.sampling import LintSampler

_KINDS = "SELECT convert_from(payload, 'UTF8') FROM ledger_inbox WHERE convert_from(payload, 'UTF8') LIKE $1"


async def test_a_good_leaf_is_looked_at_once_and_has_no_finding(mint: Mint) -> None:
    await mint.gate.issue(mint.request())
    sampler = LintSampler(mint.database)
    assert await sampler.run_once() == 0
    assert await sampler.run_once() == 0
    assert not await mint.database.fetch(_KINDS, "%certificate.lint_finding%")


async def test_a_bad_leaf_is_told_in_the_ledger(mint: Mint) -> None:
    issued = await mint.gate.issue(mint.request())
    await mint.database.fetch("UPDATE certificate SET der = $1 WHERE id = $2", issued.der[:-30], issued.id)
    assert await LintSampler(mint.database).run_once() == 1
    rows = await mint.database.fetch(_KINDS, "%certificate.lint_finding%")
    assert len(rows) == 1
    assert str(issued.id) in rows[0][0]
