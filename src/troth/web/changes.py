"""What applying a document changes, as pages, API and previews tell it."""

from __future__ import annotations

from troth.trust.directory_plan import DirectoryPlan
from troth.web.views import Change


def directory_changes(plan: DirectoryPlan) -> list[Change]:
    """Of a directory, subject by subject."""
    changes = [Change(one.kind.value, one.name, "created") for one in plan.created]
    changes += [
        Change(one.subject.kind.value, one.subject.name, "changed", ", ".join(sorted(one.fields)))
        for one in plan.changed
    ]
    changes += [
        Change("fact", f"{one.subject.name} {one.path}", "changed", f"{one.source}: {one.before} → {one.after}")
        for one in plan.facts
    ]
    if plan.prune:
        changes += [Change(one.kind.value, one.name, "removed") for one in plan.absent]
    return changes or [Change("directory", plan.file.source, "unchanged")]


def policy_change(name: str, version: int, fresh: bool, changes: bool) -> Change:
    """Of a policy."""
    action = "unchanged" if not changes else "created" if fresh else "changed"
    return Change("policy", name, action, f"version {version}")
