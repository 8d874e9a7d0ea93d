"""Applying a directory to a real database."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from troth.kit.clock import FakeClock
from troth.store.pool import Database
from troth.trust.errors import DirectoryError, Retryable
from troth.trust.model import Kind
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects

FLEET = """\
users:
  - {name: alice, enabled: true, groups: [wifi-users]}
  - {name: bob, enabled: true}
devices:
  - name: laptop-1
    owner: alice
    names: [laptop-1.corp.example, old.corp.example]
    posture:
      - {source: mdm, observed_at: 2026-03-02T08:55:00Z, values: {posture.compliant: true, risk.score: 12}}
  - {name: laptop-2, owner: bob}
"""


async def events(database: Database) -> list[tuple[str, dict[str, object]]]:
    rows = await database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
    return [(event["kind"], event["data"]) for event in (json.loads(row["payload"]) for row in rows)]


async def apply(directory: Directory, text: str, *, prune: bool = False) -> None:
    await directory.apply(await directory.plan(text, prune=prune), actor="admin:test")


async def test_what_the_file_says_is_what_is_known(directory: Directory, subject_store: SubjectStore) -> None:
    await apply(directory, FLEET)
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    assert laptop.owner is not None
    assert (laptop.owner.name, laptop.owner.attributes, laptop.owner.groups) == (
        "alice", {"enabled": True}, ("wifi-users",)
    )  # fmt: skip
    assert (await subject_store.names_of([laptop.id]))[laptop.id] == ["laptop-1.corp.example", "old.corp.example"]
    facts = await subject_store.facts([laptop.id])
    assert [(fact.source, fact.name, fact.value) for fact in facts] == [
        ("mdm", "posture.compliant", True),
        ("mdm", "risk.score", 12),
    ]


async def test_applying_twice_changes_nothing_but_the_confirmation(
    directory: Directory, database: Database, clock: FakeClock, subject_store: SubjectStore
) -> None:
    await apply(directory, FLEET)
    before = await events(database)
    clock.advance(timedelta(hours=1))
    plan = await directory.plan(FLEET)
    assert not plan.changes
    await directory.apply(plan, actor="admin:test")
    assert await events(database) == before
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    assert laptop.confirmed_at == clock.now()


async def test_each_difference_is_one_event_with_before_and_after(directory: Directory, database: Database) -> None:
    await apply(directory, FLEET)
    count = len(await events(database))
    changed = (
        FLEET.replace("owner: alice", "owner: bob")
        .replace("old.corp.example", "new.corp.example")
        .replace("08:55:00Z", "08:56:00Z")
        .replace("risk.score: 12", "risk.score: 70")
    )
    await apply(directory, changed)
    told = (await events(database))[count:]
    assert [kind for kind, _ in told] == ["subject.changed", "fact.changed"]
    assert told[0][1]["fields"] == {
        "owner": {"before": "alice", "after": "bob"},
        "names": {
            "before": ["laptop-1.corp.example", "old.corp.example"],
            "after": ["laptop-1.corp.example", "new.corp.example"],
        },
    }
    assert (told[1][1]["name"], told[1][1]["before"], told[1][1]["after"]) == ("risk.score", 12, 70)


async def test_an_older_report_never_replaces_a_newer_one(directory: Directory, subject_store: SubjectStore) -> None:
    await apply(directory, FLEET)
    await apply(directory, FLEET.replace("08:55:00Z", "07:00:00Z").replace("risk.score: 12", "risk.score: 99"))
    laptop = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert laptop is not None
    assert [fact.value for fact in await subject_store.facts([laptop.id], ["risk.score"])] == [12]


async def test_subjects_missing_from_the_file_stay_unless_pruned(
    directory: Directory, subject_store: SubjectStore, database: Database
) -> None:
    await apply(directory, FLEET)
    shorter = "users:\n  - {name: alice, enabled: true, groups: [wifi-users]}\n"
    plan = await directory.plan(shorter)
    assert sorted(one.name for one in plan.absent) == ["bob", "laptop-1", "laptop-2"]
    assert not plan.changes
    await directory.apply(plan, actor="admin:test")
    assert await subject_store.find(Kind.DEVICE, "laptop-1") is not None
    await apply(directory, shorter, prune=True)
    assert await subject_store.find(Kind.DEVICE, "laptop-1") is None
    assert await subject_store.holders(["laptop-1.corp.example"]) == {}
    assert [kind for kind, _ in await events(database)].count("subject.removed") == 3


async def test_a_removed_subject_may_return_as_a_new_one(directory: Directory, subject_store: SubjectStore) -> None:
    await apply(directory, FLEET)
    first = await subject_store.find(Kind.DEVICE, "laptop-1")
    await apply(directory, "users: []\n", prune=True)
    await apply(directory, FLEET)
    second = await subject_store.find(Kind.DEVICE, "laptop-1")
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert await subject_store.by_id(first.id) is not None


async def test_a_name_may_move_between_subjects_of_one_file(directory: Directory, subject_store: SubjectStore) -> None:
    await apply(directory, FLEET)
    moved = FLEET.replace(", old.corp.example", "").replace(
        "{name: laptop-2, owner: bob}", "{name: laptop-2, owner: bob, names: [old.corp.example]}"
    )
    await apply(directory, moved)
    holder = (await subject_store.by_names(["old.corp.example"]))["old.corp.example"]
    assert holder.name == "laptop-2"


async def test_what_belongs_to_another_directory_is_refused_with_its_line(directory: Directory) -> None:
    await apply(directory, FLEET)
    with pytest.raises(DirectoryError, match="belongs to device 'laptop-1'") as caught:
        await directory.plan("source: other\ndevices:\n  - {name: thief, names: [old.corp.example]}\n")
    assert caught.value.facts["line"] == 3
    with pytest.raises(DirectoryError, match="the directory 'directory' speaks for this subject"):
        await directory.plan("source: other\ndevices:\n  - {name: laptop-1}\n")
    with pytest.raises(DirectoryError, match="the owner 'nobody' is no user"):
        await directory.plan("devices:\n  - {name: laptop-9, owner: nobody}\n")


async def test_of_two_plans_made_at_once_the_second_is_refused(directory: Directory, database: Database) -> None:
    for text in (FLEET, FLEET.replace("risk.score: 12", "risk.score: 13")):
        first, second = await directory.plan(text), await directory.plan(text.replace("laptop-2", "laptop-3"))
        await directory.apply(first, actor="admin:a")
        before = await events(database)
        with pytest.raises(Retryable) as caught:
            await directory.apply(second, actor="admin:b")
        assert caught.value.code in ("trust.directory.changed_meanwhile", "trust.subject.raced")
        assert await events(database) == before


async def test_a_workload_that_a_door_met_first_is_adopted(
    directory: Directory, subjects: Subjects, subject_store: SubjectStore, database: Database, clock: FakeClock
) -> None:
    from troth.store.unit import Unit
    from troth.trust.subjects.whom import add_fresh

    [fresh] = await subjects.resolve(["shop.example"], origin="acme")
    await database.commit(add_fresh(Unit(), [fresh], actor="acme:1", at=clock.now()))
    await apply(directory, FLEET + "workloads:\n  - {name: shop.example, owner: alice, names: [www.shop.example]}\n")
    adopted = await subject_store.find(Kind.WORKLOAD, "shop.example")
    assert adopted is not None
    assert (adopted.id, adopted.origin) == (fresh.id, "directory")
