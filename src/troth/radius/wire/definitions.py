"""The dictionary's entries, and how they come out of ``data/*.yaml``.

Numbers, names and data types are facts of RFCs, of IANA's registry and of the vendors' own papers; the files are ours.
An entry says besides how a value is hidden on the wire, and whether a person may see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

from troth.radius.wire.values import data_types

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: RFC 6929 sections 2.1 and 2.2.
EXTENDED: Final = frozenset({241, 242, 243, 244})
LONG_EXTENDED: Final = frozenset({245, 246})
_DATA: Final = data_types() | {"tlv"}
_HIDDEN: Final = frozenset({"", "password", "salted"})
_KEYS: Final = frozenset({"type", "data", "hidden", "tagged", "private", "values", "members"})


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's number (IANA private enterprise number), and how it writes its attributes.

    Attributes:
        type_octets, length_octets: before each value; a length of 0 octets means one attribute to the end (RFC 2865,
            5.26 recommends 1 and 1).
    """

    id: int
    name: str
    type_octets: int = 1
    length_octets: int = 1


@dataclass(frozen=True, slots=True)
class Definition:
    """One attribute.

    Attributes:
        vendor: whose it is; 0: the standard's.
        path: type, and what stands within it: ``(1,)``, ``(241, 4)``; a vendor's type alone for its attributes.
        data: data type of RFC 8044, as in :mod:`troth.radius.wire.values`, or ``tlv``.
        hidden: how it is hidden on the wire: ``password`` (RFC 2865, 5.2), ``salted`` (RFC 2868, 3.5) or not at all.
        tagged: it begins with a tag (RFC 2868, 3.1).
        private: no person sees its value: a secret, a proof, or what leads to one.
        names: the values that have one, by name.
    """

    name: str
    vendor: int
    path: tuple[int, ...]
    data: str
    hidden: str = ""
    tagged: bool = False
    private: bool = False
    names: Mapping[str, int] = field(default_factory=dict)

    def word(self, number: int) -> str | None:
        """The name of one of its values."""
        return next((name for name, known in self.names.items() if known == number), None)


@cache
def entries() -> tuple[tuple[Vendor, ...], tuple[Definition, ...]]:
    """All vendors and attributes of ``data/*.yaml``. Raises ValueError for an entry that does not hold together."""
    vendors: list[Vendor] = []
    found: list[Definition] = []
    for file in sorted(resources.files(__package__).joinpath("data").iterdir(), key=lambda one: one.name):
        if not file.name.endswith(".yaml"):
            continue
        document = yaml.load(file.read_text("utf-8"), Loader=_Loader)  # noqa: S506 -- a safe loader, and our own file
        found.extend(_definitions(0, (), document.get("attributes", {})))
        for one in document.get("vendors", ()):
            vendors.append(Vendor(one["id"], one["name"], *one.get("octets", (1, 1))))
            found.extend(_definitions(one["id"], (), one["attributes"]))
    return tuple(vendors), tuple(found)


def _definitions(vendor: int, within: tuple[int, ...], attributes: Mapping[str, Any]) -> Iterator[Definition]:
    for name, entry in attributes.items():
        path = (*within, *(int(part) for part in str(entry["type"]).split(".")))
        hidden = entry.get("hidden", "")
        if not set(entry) <= _KEYS or entry["data"] not in _DATA or hidden not in _HIDDEN:
            raise ValueError(f"the dictionary's {name} does not hold together")
        yield Definition(
            name, vendor, path, entry["data"], hidden,
            tagged=entry.get("tagged", False),
            private=bool(hidden) or entry.get("private", False),
            names={str(word): number for word, number in entry.get("values", {}).items()},
        )  # fmt: skip
        members = {f"{name}.{member}": inner for member, inner in entry.get("members", {}).items()}
        yield from _definitions(vendor, path, members)
