"""The second look at issued leaves finds what the fast lint let through, keeps it, and goes on where it was."""

from __future__ import annotations

from tests.support.mint import Mint
from troth.pki.finding_store import FindingStore
from troth.pki.sampling import LintSampler, Sampled

_KINDS = "SELECT convert_from(payload, 'UTF8') FROM ledger_inbox WHERE convert_from(payload, 'UTF8') LIKE $1"


async def test_a_good_leaf_is_looked_at_once_and_has_no_finding(mint: Mint) -> None:
    await mint.gate.issue(mint.request())
    assert await LintSampler(mint.database, mint.clock).run_once() == Sampled(1, 1, 0)
    # Another process, or this one after a restart, goes on from there.
    assert await LintSampler(mint.database, mint.clock).run_once() == Sampled(0, 0, 0)
    await mint.gate.issue(mint.request("later"))
    assert await LintSampler(mint.database, mint.clock).run_once() == Sampled(1, 1, 0)
    assert not await mint.database.fetch(_KINDS, "%certificate.lint_finding%")
    stands = await FindingStore(mint.database).inspection("lint")
    assert (stands.looked, stands.found) == (2, 0)


async def test_a_bad_leaf_is_told_in_the_ledger_and_kept(mint: Mint) -> None:
    issued = await mint.gate.issue(mint.request())
    await mint.database.fetch("UPDATE certificate SET der = $1 WHERE id = $2", issued.der[:-30], issued.id)
    assert (await LintSampler(mint.database, mint.clock).run_once()).found == 1
    rows = await mint.database.fetch(_KINDS, "%certificate.lint_finding%")
    assert len(rows) == 1
    assert str(issued.id) in rows[0][0]
    kept = await FindingStore(mint.database).listed()
    assert [(one.object, one.source) for one in kept] == [(f"certificate:{issued.id}", "lint")]
