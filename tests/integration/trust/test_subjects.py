"""Whom names belong to."""

from __future__ import annotations

import asyncio

import pytest

from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.errors import Retryable, TrustError
from troth.trust.model import Kind
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects, add_fresh

FLEET = """\
users:
  - {name: shop}
devices:
  - {name: box, names: ["*.lab.example", box.lab.example, box.example]}
workloads:
  - {name: shop, names: [shop.example, www.shop.example]}
  - {name: direct.example}
"""


@pytest.fixture
async def _fleet(directory: Directory) -> None:
    await directory.apply(await directory.plan(FLEET), actor="admin:test")


@pytest.mark.usefixtures("_fleet")
async def test_names_lead_to_their_subjects_each_once(subjects: Subjects) -> None:
    found = await subjects.resolve(
        ["WWW.shop.example.", "shop.example", "any.lab.example", "direct.example"], origin="acme"
    )
    assert [(one.kind, one.name, one.names, one.fresh) for one in found] == [
        (Kind.WORKLOAD, "shop", ("www.shop.example", "shop.example"), False),
        (Kind.DEVICE, "box", ("any.lab.example",), False),
        (Kind.WORKLOAD, "direct.example", ("direct.example",), False),
    ]


@pytest.mark.usefixtures("_fleet")
async def test_a_wildcard_covers_one_label_and_not_its_own_parent(subjects: Subjects) -> None:
    found = await subjects.resolve(["a.b.lab.example", "lab.example", "*.lab.example"], origin="acme")
    assert [(one.name, one.fresh) for one in found] == [
        ("a.b.lab.example", True),
        ("lab.example", True),
        ("box", False),
    ]


async def test_an_unknown_name_becomes_a_workload_with_its_unit(
    subjects: Subjects, database: Database, clock: FakeClock
) -> None:
    [fresh] = await subjects.resolve(["new.example"], origin="acme")
    assert (fresh.kind, fresh.fresh) == (Kind.WORKLOAD, True)
    await database.commit(add_fresh(Unit(), [fresh], actor="acme:1", at=clock.now()))
    [known] = await subjects.resolve(["new.example"], origin="acme")
    assert (known.id, known.fresh, known.origin) == (fresh.id, False, "acme")


async def test_of_two_requests_that_make_the_same_workload_one_is_told_to_repeat(
    subjects: Subjects, database: Database, clock: FakeClock
) -> None:
    units = []
    for _ in range(2):
        [fresh] = await subjects.resolve(["new.example"], origin="acme")
        units.append(add_fresh(Unit(), [fresh], actor="acme:1", at=clock.now()))
    results = await asyncio.gather(*(database.commit(unit) for unit in units), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "Retryable"]
    assert await database.fetchval("SELECT count(*) FROM subject") == 1
    assert await database.fetchval("SELECT count(*) FROM ledger_inbox") == 1


@pytest.mark.usefixtures("_fleet")
async def test_a_subject_is_found_by_id_name_and_dns_name(subjects: Subjects, subject_store: SubjectStore) -> None:
    box = await subject_store.find(Kind.DEVICE, "box")
    assert box is not None
    for text in ("box", "device:box", str(box.id), "box.example"):
        assert (await subjects.find(text)).id == box.id
    with pytest.raises(TrustError, match="user:shop, workload:shop"):
        await subjects.find("shop")
    with pytest.raises(TrustError, match="no subject is called"):
        await subjects.find("nobody")
    assert (await subjects.find("shop", kind=Kind.WORKLOAD)).kind is Kind.WORKLOAD


@pytest.mark.usefixtures("_fleet")
async def test_subjects_are_paged_by_name(subject_store: SubjectStore) -> None:
    first = await subject_store.page(limit=2)
    rest = await subject_store.page(limit=9, after=(first[-1].name, first[-1].id))
    assert [one.name for one in (*first, *rest)] == ["box", "direct.example", "shop", "shop"]
    assert [one.name for one in await subject_store.page(prefix="sh", kind=Kind.USER)] == ["shop"]
    assert await subject_store.page(prefix="%") == []


async def test_a_retry_after_losing_the_race_finds_the_winner(
    subjects: Subjects, database: Database, clock: FakeClock
) -> None:
    [one] = await subjects.resolve(["new.example"], origin="acme")
    [two] = await subjects.resolve(["new.example"], origin="acme")
    await database.commit(add_fresh(Unit(), [one], actor="acme:1", at=clock.now()))
    with pytest.raises(Retryable) as caught:
        await database.commit(add_fresh(Unit(), [two], actor="acme:1", at=clock.now()))
    assert caught.value.code == "trust.subject.raced"
    [found] = await subjects.resolve(["new.example"], origin="acme")
    assert found.id == one.id
