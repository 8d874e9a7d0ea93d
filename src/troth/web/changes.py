"""What applying a document changes, as pages, API and previews tell it."""

from __future__ import annotations

from collections.abc import Sequence

from troth.connect.desk import AppliedConnector
from troth.connect.ssf.transmitter.definitions import ReceiverDefinition
from troth.trust.applied import Applied
from troth.trust.outbox.desk import ReactionPlan
from troth.trust.subjects.directory_plan import DirectoryPlan
from troth.trust.wording import show
from troth.web.views import Change


def directory_changes(plan: DirectoryPlan) -> list[Change]:
    """Of a directory, subject by subject."""
    changes = [Change(one.kind.value, one.name, "created") for one in plan.created]
    changes += [
        Change(one.subject.kind.value, one.subject.name, "changed", ", ".join(sorted(one.fields)))
        for one in plan.changed
    ]
    changes += [
        Change(
            "fact", f"{one.subject.name} {one.path}", "changed", f"{one.source}: {show(one.before)} → {show(one.after)}"
        )
        for one in plan.facts
    ]
    if plan.prune:
        changes += [Change(one.kind.value, one.name, "removed") for one in plan.absent]
    return changes or [Change("directory", plan.file.source, "unchanged")]


def policy_change(name: str, version: int, fresh: bool, changes: bool) -> Change:
    """Of a policy."""
    action = "unchanged" if not changes else "created" if fresh else "changed"
    return Change("policy", name, action, f"version {version}")


def connector_changes(planned: Sequence[AppliedConnector]) -> list[Change]:
    """Of connectors: one that lacks a secret says so, since nothing is read before it has one."""
    return [Change("connector", one.definition.name, one.change.value, _lack(one)) for one in planned]


def _lack(one: AppliedConnector) -> str:
    moved = "its secrets are forgotten, since it speaks with another address or as somebody else; " if one.moved else ""
    if not one.missing:
        return moved
    return f"{moved}lacks {' or '.join(one.missing)}: troth connector secret {one.definition.name} --file FILE"


def receiver_changes(applied: Sequence[tuple[ReceiverDefinition, Applied]]) -> list[Change]:
    """Of receivers of our shared signals."""
    return [Change("receiver", one.name, change.value) for one, change in applied]


def reactions_change(plan: ReactionPlan) -> Change:
    """Of the reactions."""
    action = "unchanged" if not plan.changes else "created" if plan.before is None else "changed"
    return Change("reactions", "reactions", action, f"version {plan.reactions.version}")
