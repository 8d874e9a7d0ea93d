"""Verbs that need no noun: ``apply``, ``why``, ``freeze``, ``unfreeze``, ``status``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from troth.cli.api import Api, segment
from troth.cli.errors import UNREADABLE
from troth.cli.options import Data, Output, Propose, query
from troth.cli.show import as_json, plain, table, when
from troth.kit.errors import TrothError

_BAD_REQUEST, _DENIED, _NOT_FOUND = 400, 403, 404
_MARKS = {"created": "+", "changed": "~", "removed": "-", "unchanged": "="}


def apply(
    *,
    file: Annotated[
        tuple[Path, ...],
        Parameter(name=["--file", "-f"], help="YAML file, or - for standard input.", allow_leading_hyphen=True),
    ],
    dry_run: Annotated[bool, Parameter(help="Only show what would change.", negative="")] = False,
    prune: Annotated[
        bool, Parameter(help="Also remove subjects of a directory's source that it no longer names.", negative="")
    ] = False,
    yes: Annotated[
        bool, Parameter(help="Apply a policy however many would lose by it; --dry-run says who.", negative="")
    ] = False,
    force: Annotated[
        str, Parameter(help="Why a policy is applied though examples of its own fail; the ledger keeps it.")
    ] = "",
    propose: Propose = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Apply directories, policies, feeds, connectors and profiles. All documents are checked before any is applied."""
    if not force and not dry_run:
        run_beside(file)
    asked = {"dry_run": dry_run, "prune": prune, "propose": propose, "accept_loss": yes}
    chosen = {name: "true" for name, value in asked.items() if value} | ({"force": force} if force else {})
    found = Api.at(data).post("/apply", "\n---\n".join(read(one) for one in file), **chosen)
    if output == "json":
        return as_json(found)
    for change in found["changes"]:
        detail = f"  ({plain(change['detail'])})" if change["detail"] else ""
        mark = _MARKS.get(change["action"], " ")
        print(f"{mark} {change['kind']} {plain(change['name'])}: {change['action']}{detail}")
        if change["secret"]:
            print(f"    its webhook secret, shown this once: {change['secret']}")
    for note in found.get("notes", ()):
        for line in note.splitlines():
            print(f"  {plain(line)}")
    if dry_run:
        print("Nothing was applied: this was a dry run.")
    return 0


def run_beside(files: Sequence[Path]) -> None:
    """Run the examples in ``NAME.tests.yaml`` beside each policy file. Raises TrothError if one fails."""
    from troth.trust.authoring.examples import run_tests
    from troth.trust.errors import POLICY_TESTS_FAILED
    from troth.trust.policy.grammar import parse_policy

    for path in files:
        beside = beside_of(path)
        if beside is None:
            continue
        failed = [one for one in run_tests(parse_policy(read(path)), read(beside), file=beside.name) if not one.passed]
        if failed:
            told = "; ".join(f"{one.name}: {', '.join(one.differences)}" for one in failed)
            raise TrothError(POLICY_TESTS_FAILED, f"{beside.name}: {told}")


def beside_of(file: Path) -> Path | None:
    """``NAME.tests.yaml`` beside ``NAME.yaml``, where there is one."""
    beside = file.with_name(f"{file.name.removesuffix('.yaml')}.tests.yaml")
    return beside if file.name.endswith(".yaml") and beside.is_file() else None


def read(path: Path) -> str:
    """The text of a file, ``-`` for standard input. Raises TrothError."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrothError(UNREADABLE, f"{path}: {error}") from error


def why(
    what: Annotated[
        str, Parameter(help="Serial number or id of a certificate, a device, a user, a decision, or a MAC address.")
    ],
    *,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Say why a certificate was issued or refused, or why a device is trusted or not."""
    api = Api.at(data)
    try:
        found = api.get(f"/why/{segment(what)}")
    except TrothError as error:
        undecided = _undecided(api, what) if error.reason.status == _NOT_FOUND else None
        if undecided is None:
            latest = _latest(api, mac=what) if error.reason.status == _NOT_FOUND else None
            if latest is None:
                raise
            if output == "json":
                return as_json(latest)
            lines = (*_lately(api, mac=what), "", "The last attempt:", *_steps(latest))
            for line in lines:
                print(plain(line) if line else "")
            return 0
        found = undecided
    if output == "json":
        return as_json(found)
    subject_id = str(found["subject"]["id"])
    for line in (*found["lines"], *_since_then(api, subject_id), *_lately(api, subject=subject_id)):
        print(plain(line) if line else "")
    return 0


def _undecided(api: Api, what: str) -> dict[str, Any] | None:
    """A subject about which nothing was ever decided, though something may stand against it."""
    try:
        subject = api.get(f"/subjects/{segment(what)}")
    except TrothError:
        return None
    if not (subject["causes"] or subject["explained"] or subject["owns"]):
        return None
    who = f"{subject['kind']} {subject['name']}"
    return {"subject": subject, "lines": [f"Nothing was decided about {who} {'itself' if subject['owns'] else 'yet'}."]}


def _owned(subject: dict[str, Any]) -> Iterator[str]:
    """What belongs to a subject, with what was decided about each last."""
    if subject["owns"]:
        yield f"To {subject['kind']} {subject['name']} belong:"
    for one in subject["owns"]:
        decided = (
            f"{one['moment']} on {when(one['decided_at'])}: {one['outcome']} ({one['reason']}); troth why {one['name']}"
            if one["decision_id"] else "nothing was decided yet"
        )  # fmt: skip
        yield f"  {one['kind']} {one['name']} is {one['standing']}; {decided}"


def _since_then(api: Api, subject_id: str) -> Iterator[str]:
    """What holds now of whom a decision was about: it may stand differently than when that was decided."""
    try:
        subject = api.get(f"/subjects/{segment(subject_id)}")
    except TrothError as error:
        if error.reason.status != _NOT_FOUND:
            raise
        yield "Its subject has been removed since."
        return
    yield from _owned(subject)
    if subject["standing"] == "trusted":
        return
    who = f"{subject['kind']} {subject['name']}"
    yield f"Now {who} is {subject['standing']}, since {when(subject['standing_since'])}:"
    for line in subject["explained"]:
        yield f"  {line}"
    for cause in subject["causes"]:
        source = cause["source"].replace(":", " ")
        yield f"  ✗ {source} raised {cause['cause']} on {when(cause['raised_at'])}; what clears it: {cause['clears']}"


def _latest(api: Api, **sought: str) -> dict[str, Any] | None:
    """The last attempt to join a network, whole: None if there is none, or none that the caller may see."""
    try:
        found = api.get("/network/conversations", **sought, limit="1")
        return api.get(f"/network/conversations/{segment(found[0]['id'])}") if found else None
    except TrothError as error:
        if error.reason.status not in (_DENIED, _BAD_REQUEST, _NOT_FOUND):
            raise
        return None


def _steps(conversation: dict[str, Any]) -> Iterator[str]:
    for step in conversation["steps"]:
        yield f"{step['at']:>7} ms  {step['said']}"
    if conversation["fix"]:
        yield f"  → {conversation['fix']}"


def _lately(api: Api, **sought: str) -> Iterator[str]:
    """The last attempts to join a network: nothing for who may not see them."""
    try:
        found = api.get("/network/conversations", **sought, limit="3")
    except TrothError as error:
        if error.reason.status not in (_DENIED, _BAD_REQUEST):
            raise
        return
    for one in found:
        where = one["network"] or "no network that is defined"
        why = "" if one["outcome"] == "allow" else f": {one['detail'] or one['reason']}"
        yield f"At {when(one['at'])} it joined {where} by {one['nas']} and was met with {one['outcome']}{why}"
        yield f"  troth radius show {one['id']}"


def freeze(*, reason: str, data: Data = None, output: Output = "text") -> int:
    """Stop automation: no signal changes a standing until you unfreeze."""
    found = Api.at(data).post("/enforcement/freeze", {"reason": reason})
    return as_json(found) if output == "json" else _frozen(found["frozen"])


def unfreeze(*, propose: Propose = False, data: Data = None, output: Output = "text") -> int:
    """Let automation go on."""
    found = Api.at(data).post("/enforcement/unfreeze", {}, **query(propose))
    return as_json(found) if output == "json" else _frozen(found["frozen"])


def _frozen(frozen: bool) -> int:
    print("Enforcement is frozen." if frozen else "Enforcement goes on.")
    return 0


def status(*, data: Data = None, output: Output = "text") -> int:
    """Say how this installation is. Exit code 1 if something fails."""
    api = Api.at(data)
    health, authorities, enforcement = api.get("/status"), api.get("/authorities"), api.get("/enforcement")
    failing = any(check["state"] == "fail" for check in health["checks"])
    if output == "json":
        as_json({"health": health, "authorities": authorities, "enforcement": enforcement})
        return 1 if failing else 0
    marks = {"ok": "✓", "warn": "!", "fail": "✗"}
    for check in health["checks"]:
        print(f"{marks[check['state']]} {check['name']}: {plain(check['detail'])}")
    if enforcement["frozen"]:
        print(f"! Enforcement is frozen by {plain(enforcement['by'])}: {plain(enforcement['reason'])}")
    print()
    rows = [
        (one["name"], f"{one['kind']}{', trial, online-born' if one['trial'] else ''}", when(one["not_after"]),
         when(one["crl_next_update"]), one["certificates"])
        for one in authorities
    ]  # fmt: skip
    table(("authority", "kind", "ends", "next CRL by", "certificates"), rows, empty="No authority.")
    return 1 if failing else 0
