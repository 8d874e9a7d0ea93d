"""What is known of each vendor: ``data/VENDOR.yaml``, read and checked as a whole when it is first needed.

A file names the pages that it stands on (``sources``). Every entry says by which of them it is documented; an entry
without ``source`` is not confirmed by a document of the vendor's, and pages, documentation and CLI say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta

from troth.radius.places.errors import VENDOR_UNKNOWN, VendorDataWrong, VendorUnknown
from troth.radius.places.ladder import IDENTIFIERS, Caches, Ladder, Rung, Step, meanings_with
from troth.radius.places.lines import Line, parse_lines
from troth.radius.places.naks import Meaning
from troth.radius.places.rules import DIALECTS, Dialect, Family
from troth.radius.wire.packet import Code

#: What each entry under ``accept:`` is made of: the placeholders of its lines.
ACCEPT: Final[Mapping[str, frozenset[str]]] = {
    "vlan": frozenset({"vlan"}),
    "voice_vlan": frozenset({"voice_vlan", "tagged_voice_vlan"}),
    "both_vlans": frozenset({"vlan", "voice_vlan"}),
    "role": frozenset({"role"}),
    "acl": frozenset({"acl"}),
    "acl_rules": frozenset({"rule", "number"}),
    "downloadable": frozenset({"acl_name"}),
    "sgt": frozenset({"sgt"}),
    "session_timeout": frozenset({"session_timeout"}),
    "idle_timeout": frozenset({"idle_timeout"}),
    "redirect": frozenset({"redirect_url", "redirect_acl"}),
    "bandwidth": frozenset({"up_kbps", "down_kbps", "up_bps", "down_bps"}),
}
_CODES: Final = {"coa": Code.COA_REQUEST, "disconnect": Code.DISCONNECT_REQUEST}

_Text = Annotated[str, Meta(min_length=1)]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    send: tuple[_Text, ...]
    wireless: tuple[_Text, ...] = ()
    ipv6: tuple[_Text, ...] = ()
    first: tuple[_Text, ...] = ()
    source: str = ""
    takes: tuple[Literal["id", "name"], ...] = ("id", "name")
    longest: Annotated[int, Meta(ge=1, le=253)] = 253
    dialect: str = ""
    joined: Literal["", "comma", "nul"] = ""
    most: Annotated[int, Meta(ge=1, le=65)] = 65
    other_family: Literal["", "dropped", "unfiltered"] = ""
    only: Literal["", "wired", "wireless"] = ""
    beside: Literal["adds", "replaces"] = "adds"
    note: str = ""


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    step: Step
    code: Literal["coa", "disconnect"] | None = None
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    identify: tuple[tuple[_Text, ...], ...] = ()
    send: tuple[_Text, ...] = ()
    fields: tuple[str, ...] = ()
    keeps_link: bool = False
    source: str = ""
    note: str = ""


class _ChangeVlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    works: bool | None
    note: _Text


class _Caches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    note: _Text
    flushed_by: tuple[Step, ...] = ()
    source: str = ""


class _Ladder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: Annotated[int, Meta(ge=1, le=65_535)]
    steps: tuple[_Step, ...]
    change_vlan: _ChangeVlan
    caches: _Caches
    message_authenticator: bool = True
    event_timestamp: bool = True
    nak: Mapping[int, Meaning] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    vendor: _Text
    title: _Text
    medium: Literal["wired", "wireless", "both"]
    sources: Mapping[str, str]
    accept: Mapping[str, _Entry]
    ladder: _Ladder
    exclusive: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How one thing about a place is said.

    Attributes:
        send: its lines. wireless: in their place where the client is on a radio. first: once, before rules.
        ipv6: for the rules of IPv6, where they are written apart; empty with ``families`` of both: the same lines.
        takes: forms of a VLAN that are understood. longest: characters of a name, or of one rule.
        dialect: of rules; ``joined``: several rules share an attribute, separated by a comma or NUL (RFC 4849).
        most: rules. other_family: what happens to IPv6 where only IPv4 can be written.
        only: on ports alone, or on radios alone.
        beside: whether a voice VLAN is said besides the VLAN, or in its place.
        source: the page that documents it; empty: not confirmed.
    """

    send: tuple[Line, ...]
    wireless: tuple[Line, ...]
    ipv6: tuple[Line, ...]
    first: tuple[Line, ...]
    takes: frozenset[str]
    longest: int
    dialect: Dialect | None
    joined: str
    most: int
    other_family: str
    only: str
    beside: str
    source: str
    note: str

    @property
    def families(self) -> tuple[Family, ...]:
        """The versions of IP that rules can be written for."""
        return (4,) if self.other_family else (4, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """All that is known of a vendor's equipment.

    Attributes:
        accept: what of a place can be said in an Access-Accept, by the names in :data:`ACCEPT`.
        exclusive: of those in a row only the first that the place has is said: they share an attribute, or exclude
            each other.
        sources: name → address of the vendor's page.
        notes: what whoever runs this equipment should know.
    """

    name: str
    title: str
    medium: str
    accept: Mapping[str, Entry]
    exclusive: tuple[tuple[str, ...], ...]
    ladder: Ladder
    sources: Mapping[str, str]
    notes: tuple[str, ...]

    def unconfirmed(self) -> tuple[str, ...]:
        """Entries and rungs that no document of the vendor's confirms here."""
        entries = [f"accept.{name}" for name, entry in self.accept.items() if not entry.source]
        rungs = [f"ladder.{rung.step}" for rung in self.ladder.rungs if rung.code is not None and not rung.source]
        return (*entries, *rungs)


def vendors() -> tuple[str, ...]:
    """The names of all vendors, sorted."""
    return tuple(sorted(_all()))


def vendor(name: str) -> Vendor:
    """What is known of ``name``. Raises VendorUnknown, VendorDataWrong."""
    found = _all().get(name)
    if found is None:
        raise VendorUnknown(VENDOR_UNKNOWN, f"no data for vendor {name[:80]!r}; there are {', '.join(vendors())}")
    return found


def read_vendor(text: str, *, name: str) -> Vendor:
    """The vendor that a data file describes. Raises VendorDataWrong."""
    try:
        file = msgspec.convert(yaml.safe_load(text), _File)
        if file.vendor != name:
            raise ValueError(f"vendor: {file.vendor!r} stands in the file of {name!r}")
        return _vendor(file)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise VendorDataWrong(f"{name}: {error}") from error


@lru_cache(maxsize=1)
def _all() -> Mapping[str, Vendor]:
    files = resources.files("troth.radius.places").joinpath("data")
    names = sorted(one.name for one in files.iterdir() if one.name.endswith(".yaml"))
    found = {}
    for file in names:
        name = file.removesuffix(".yaml")
        found[name] = read_vendor(files.joinpath(file).read_text(encoding="utf-8"), name=name)
    return found


def _vendor(file: _File) -> Vendor:
    for name in (*file.accept, *(one for row in file.exclusive for one in row)):
        if name not in ACCEPT:
            raise ValueError(f"accept: nothing is called {name!r}")
    used = list(_sources(file))
    for source in used:
        if source not in file.sources:
            raise ValueError(f"sources: {source!r} is named and not there")
    for source in file.sources:
        if source not in used:
            raise ValueError(f"sources: {source!r} is there and named by nothing")
    return Vendor(
        name=file.vendor,
        title=file.title,
        medium=file.medium,
        accept={name: _entry(name, entry) for name, entry in file.accept.items()},
        exclusive=file.exclusive,
        ladder=_ladder(file.vendor, file.ladder),
        sources=file.sources,
        notes=file.notes,
    )


def _sources(file: _File) -> Iterator[str]:
    yield from (one.source for one in file.accept.values() if one.source)
    yield from (one.source for one in file.ladder.steps if one.source)
    if file.ladder.caches.source:
        yield file.ladder.caches.source


def _entry(name: str, entry: _Entry) -> Entry:
    known = ACCEPT[name]
    if (name == "acl_rules") != bool(entry.dialect) or (entry.dialect and entry.dialect not in DIALECTS):
        raise ValueError(f"accept.{name}: dialect is for acl_rules, one of {', '.join(DIALECTS)}")
    return Entry(
        send=parse_lines(entry.send, known=known),
        wireless=parse_lines(entry.wireless, known=known),
        ipv6=parse_lines(entry.ipv6, known=known),
        first=parse_lines(entry.first, known=frozenset()),
        takes=frozenset(entry.takes),
        longest=entry.longest,
        dialect=DIALECTS.get(entry.dialect),
        joined=entry.joined,
        most=entry.most,
        other_family=entry.other_family,
        only=entry.only,
        beside=entry.beside,
        source=entry.source,
        note=entry.note,
    )


def _ladder(vendor: str, ladder: _Ladder) -> Ladder:
    if not ladder.steps or ladder.steps[-1].step is not Step.WAIT:
        raise ValueError("ladder.steps: the last is to wait")
    return Ladder(
        vendor=vendor,
        rungs=tuple(_rung(step, ladder.port) for step in ladder.steps),
        message_authenticator=ladder.message_authenticator,
        event_timestamp=ladder.event_timestamp,
        change_vlan=ladder.change_vlan.works,
        change_vlan_note=ladder.change_vlan.note,
        caches=Caches(flushed_by=frozenset(ladder.caches.flushed_by), note=ladder.caches.note),
        meanings=meanings_with(ladder.nak),
    )


def _rung(step: _Step, port: int) -> Rung:
    where = f"ladder.{step.step}"
    if (step.step is Step.WAIT) != (step.code is None) or bool(step.code) != bool(step.identify):
        raise ValueError(f"{where}: every step but waiting has a code, and names the session")
    if (step.step is Step.PROFILE) != bool(step.fields) or not set(step.fields) <= ACCEPT.keys():
        raise ValueError(f"{where}: a profile, and nothing else, says which fields it changes")
    return Rung(
        step=step.step,
        code=_CODES[step.code] if step.code else None,
        port=(step.port or port) if step.code else 0,
        identify=tuple(parse_lines(lines, known=IDENTIFIERS) for lines in step.identify),
        send=parse_lines(step.send, known=frozenset()),
        fields=frozenset(step.fields),
        keeps_link=step.keeps_link,
        source=step.source,
    )
