"""The directory file: who there is, who owns what, which names belong to whom, and what was observed when.

    source: directory              # who speaks; names the origin of the subjects
    users:
      - {name: alice, enabled: true, email: alice@corp.example, groups: [wifi-users]}
    devices:
      - name: laptop-17
        owner: alice
        managed: true
        names: [laptop-17.corp.example]
        posture:
          - source: mdm
            observed_at: 2026-11-23T09:55:00Z
            values: {posture.compliant: true, risk.score: 12}
    workloads:
      - {name: shop, owner: alice, environment: production, names: [shop.corp.example, www.corp.example]}

This module reads and checks it; :mod:`troth.trust.subjects.directory_plan` compares it with what is known and
applies it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from troth.kit.canonical import Json
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.errors import DIRECTORY_MALFORMED, DirectoryError
from troth.trust.model import SKEW, Kind
from troth.trust.vocabulary import FACT_ROOTS, OPEN_ROOTS, VOCABULARY, Type, is_path, misfit, nearest

MAX_BYTES = 64 << 20
MAX_NAMES = 100

_SECTIONS: Mapping[str, Kind] = {"users": Kind.USER, "devices": Kind.DEVICE, "workloads": Kind.WORKLOAD}
_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_COMMON = frozenset({"name", "groups", "names", "owner", "protected", "posture"})
#: Names of sources that Troth gives to what it saw itself; no file may speak as one of them.
RESERVED_SOURCES = frozenset({"request", "evidence", "clock", "troth", "acme", "api", "door", "agent"})


@dataclass(frozen=True, slots=True)
class DeclaredFact:
    """One observation that the file reports."""

    source: str
    path: str
    value: Json
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Declared:
    """One subject as the file declares it."""

    kind: Kind
    name: str
    owner: str | None
    groups: tuple[str, ...]
    names: tuple[str, ...]
    protected: bool
    attributes: Mapping[str, Json]
    facts: tuple[DeclaredFact, ...]
    line: int

    @property
    def key(self) -> tuple[Kind, str]:
        """What is unique about it."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class DirectoryFile:
    """A checked file."""

    file: str
    source: str
    sha256: str
    subjects: tuple[Declared, ...]


def parse_directory(text: str, *, at: datetime, file: str = "directory") -> DirectoryFile:
    """Read and check ``text``. Raises DirectoryError with file, line and field.

    ``at``: the present; an observation without a time of its own was made now.
    """
    try:
        return _file(parse_document(text, max_bytes=MAX_BYTES), text, at, file)
    except DocumentError as error:
        raise bad(file, error) from error


def bad(file: str, error: DocumentError) -> DirectoryError:
    """``error`` as the caller sees it."""
    return DirectoryError(DIRECTORY_MALFORMED, f"{file}: {error}", file=file, line=error.line, field=error.field)


def _file(top: Field, text: str, at: datetime, file: str) -> DirectoryFile:
    fields = top.fields("source", *_SECTIONS)
    source = _source(fields["source"]) if "source" in fields else "directory"
    found: dict[tuple[Kind, str], Declared] = {}
    holders: dict[str, Declared] = {}
    for section, kind in _SECTIONS.items():
        for entry in fields[section].entries() if section in fields else ():
            declared = _subject(entry, kind, source, at)
            if declared.key in found:
                raise entry.wrong(
                    f"{kind.value} {declared.name!r} stands here twice, first on line {found[declared.key].line}"
                )
            found[declared.key] = declared
            for name in declared.names:
                if name in holders:
                    raise entry.wrong(f"the name {name!r} belongs to {holders[name].name!r} already")
                holders[name] = declared
    return DirectoryFile(file, source, hashlib.sha256(text.encode()).hexdigest(), tuple(found.values()))


def _source(field: Field) -> str:
    found = field.text(limit=63)
    if not _SOURCE.match(found) or found in RESERVED_SOURCES:
        raise field.wrong("a source is lower-case letters, digits, '-' and '_', and none of Troth's own words")
    return found


def _attribute_names(kind: Kind) -> set[str]:
    root = f"{kind.value}."
    return {path.removeprefix(root) for path in VOCABULARY if path.startswith(root)} - {"name", "groups"}


def _subject(entry: Field, kind: Kind, source: str, at: datetime) -> Declared:
    known = _attribute_names(kind)
    common = _COMMON - {"owner"} if kind is Kind.USER else _COMMON
    fields = entry.fields(*common, *known, "attributes", required=("name",))
    attributes: dict[str, Json] = {}
    for name in sorted(known & fields.keys()):
        attributes[name] = _value(fields[name], f"{kind.value}.{name}")
    for name, field in fields["attributes"].fields().items() if "attributes" in fields else ():
        if not is_path(f"{kind.value}.{name}") or name in known or name in _COMMON:
            raise field.wrong("an own attribute is a lower-case word that has no meaning yet")
        attributes[name] = _value(field, f"{kind.value}.{name}")
    names = tuple(_dns_name(name) for name in fields["names"].entries()) if "names" in fields else ()
    if len(names) > MAX_NAMES or len(set(names)) != len(names):
        raise fields["names"].wrong(f"at most {MAX_NAMES} names, each once")
    return Declared(
        kind=kind,
        name=fields["name"].text(limit=253),
        owner=fields["owner"].text(limit=253) if "owner" in fields else None,
        groups=fields["groups"].texts(limit=253) if "groups" in fields else (),
        names=names,
        protected=fields["protected"].boolean() if "protected" in fields else False,
        attributes=attributes,
        facts=tuple(_facts(fields["posture"].entries(), source, at)) if "posture" in fields else (),
        line=entry.line,
    )


def _dns_name(field: Field) -> str:
    name = field.text(limit=253).lower()
    labels = name.removeprefix("*.").split(".")
    if not all(_LABEL.match(label) for label in labels):
        raise field.wrong(f"{name!r} is no DNS name (write international names in their xn-- form)")
    return name


def _facts(reports: Iterable[Field], source: str, at: datetime) -> Iterable[DeclaredFact]:
    seen: set[tuple[str, str]] = set()
    for report in reports:
        fields = report.fields("source", "observed_at", required=("values",))
        said_by = _source(fields["source"]) if "source" in fields else source
        observed = fields["observed_at"].time() if "observed_at" in fields else at
        if observed - at > SKEW:
            raise fields["observed_at"].wrong("this lies in the future")
        for path, field in fields["values"].fields().items():
            if not is_path(path) or path.partition(".")[0] not in FACT_ROOTS:
                roots = ", ".join(sorted(FACT_ROOTS))
                raise field.wrong(f"an observation is named root.name, with root one of {roots}")
            if (said_by, path) in seen:
                raise field.wrong(f"{said_by} reports {path} twice")
            seen.add((said_by, path))
            yield DeclaredFact(said_by, path, _value(field, path), observed)


def _value(field: Field, path: str) -> Json:
    value = field.json()
    known = VOCABULARY.get(path)
    if known is not None:
        wrong = misfit(value, known.type)
        if wrong is not None:
            raise field.wrong(f"{path} {wrong}")
        return value
    root = path.partition(".")[0]
    if root not in OPEN_ROOTS:
        near = nearest(path, set(VOCABULARY))
        raise field.wrong(f"{path!r} is not known{f'; did you mean {near!r}?' if near else ''}")
    # A word that only some policy knows: its type is that policy's business, but it must be a type at all.
    if all(misfit(value, kind) is not None for kind in Type):
        raise field.wrong("a value is a text, a whole number, true, false, or a list of texts or numbers")
    return value
