"""A place, told to a vendor's equipment in an Access-Accept.

What cannot be said is a loss. A loss of something that is essential to the place is a refusal
(:class:`NotExpressible`): whoever cannot be put where he belongs is not put anywhere. Nothing is sent that the place
does not name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from troth.radius.places.downloads import acl_name, fits_download
from troth.radius.places.errors import NOT_EXPRESSIBLE, NotExpressible
from troth.radius.places.lines import Line, filled
from troth.radius.places.model import Place
from troth.radius.places.rules import CLOSING, Family, Rule, of_family
from troth.radius.places.vendors import Entry, Vendor, vendor
from troth.radius.wire.packet import Attribute, Packet

#: Octets of attributes that a place may take. A packet has 4096 (RFC 2865, section 3); the rest is for EAP, keys,
#: the user's name and the Proxy-States of whatever lies between.
MAX_OCTETS: Final = 2_800
_NAS_PORT_TYPE: Final = 61
_WIRELESS: Final = frozenset({18, 19})
#: RFC 4675, section 2.1: the first octet says tagged.
_TAGGED: Final = 0x31000000


@dataclass(frozen=True, slots=True)
class Loss:
    """Something about a place that the equipment is not told, and why, in words."""

    field: str
    why: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """What is sent, and what is lost."""

    attributes: tuple[Attribute, ...]
    losses: tuple[Loss, ...]


def render(place: Place, vendor_name: str, request: Packet | None) -> list[Attribute]:
    """The attributes that put a client in ``place`` on this vendor's equipment.

    ``request`` tells a radio from a port (NAS-Port-Type) where equipment has both. Raises NotExpressible if something
    essential cannot be said: reject then. Raises VendorUnknown.
    """
    known = vendor(vendor_name)
    found = rendered(place, known, wireless=_is_wireless(request, known))
    refuse_if_less(place, known, found.losses)
    return list(found.attributes)


def refuse_if_less(place: Place, known: Vendor, losses: Sequence[Loss]) -> None:
    """Raise NotExpressible where what is lost is essential to the place."""
    for loss in losses:
        if loss.field in place.essential:
            raise NotExpressible(
                NOT_EXPRESSIBLE, f"place {place.name!r} on {known.title}: {loss.field}: {loss.why}",
                place=place.name, vendor=known.name, field=loss.field,
            )  # fmt: skip


def losses_of(place: Place, known: Vendor) -> tuple[Loss, ...]:
    """All that this vendor would not be told, on ports and on radios."""
    media = {"wired": (False,), "wireless": (True,), "both": (False, True)}[known.medium]
    return tuple(dict.fromkeys(chain.from_iterable(rendered(place, known, wireless=one).losses for one in media)))


def rendered(place: Place, known: Vendor, *, wireless: bool) -> Rendered:
    """What is sent and what is lost, whether or not it is essential."""
    return _Rendering(place, known, wireless=wireless).whole()


def changed(former: Place | None, place: Place, known: Vendor, fields: frozenset[str]) -> list[Attribute] | None:
    """What a CoA-Request that can change ``fields`` must carry to move a session from ``former`` to ``place``.

    None if it cannot be done so: they differ in more, or something would have to be taken away, which a CoA cannot.
    """
    if former is None:
        return None
    differing = {field for field in _FIELDS if getattr(former, field) != getattr(place, field)}
    if not differing or not differing <= fields or any(not getattr(place, field) for field in differing):
        return None
    blank = Place(name=place.name, ipv6=place.ipv6, downloadable=place.downloadable)
    partial = replace(blank, **{field: getattr(place, field) for field in differing})
    found = rendered(partial, known, wireless=known.medium == "wireless")
    return None if found.losses else list(found.attributes)


_FIELDS: Final = (
    "vlan", "voice_vlan", "role", "acl", "acl_rules", "sgt", "session_timeout", "idle_timeout", "redirect_url",
    "redirect_acl", "bandwidth_down", "bandwidth_up",
)  # fmt: skip


class _Rendering:
    """One place for one vendor."""

    def __init__(self, place: Place, known: Vendor, *, wireless: bool) -> None:
        self._place = place
        self._known = known
        self._wireless = wireless
        self._losses: list[Loss] = []

    def whole(self) -> Rendered:
        parts = (
            self._vlans(), self._word("role", self._place.role), self._word("acl", self._place.acl), self._rules(),
            self._number("sgt", self._place.sgt), self._number("session_timeout", self._place.session_timeout),
            self._number("idle_timeout", self._place.idle_timeout), self._redirect(), self._bandwidth(),
        )  # fmt: skip
        attributes = tuple(chain.from_iterable(parts))
        if sum(len(value) + 2 for _, value in attributes) > MAX_OCTETS:
            return Rendered((), (*self._losses, *self._all(f"all of it takes more than {MAX_OCTETS} octets")))
        return Rendered(attributes, tuple(self._losses))

    def _all(self, why: str) -> Iterator[Loss]:
        return (Loss(field, why) for field in _FIELDS if getattr(self._place, field))

    def _lose(self, field: str, why: str) -> list[Attribute]:
        self._losses.append(Loss(field, why))
        return []

    def _entry(self, name: str, field: str) -> Entry | None:
        """How ``name`` is said; None, and a loss, if it is not."""
        entry = self._known.accept.get(name)
        if entry is None:
            self._lose(field, "this equipment has no attribute for it")
            return None
        if entry.only and (entry.only == "wireless") != self._wireless:
            self._lose(field, f"only where the client is {entry.only}")
            return None
        for row in self._known.exclusive:
            before = [one for one in row[: row.index(name)] if getattr(self._place, one)] if name in row else []
            if before:
                self._lose(field, f"this equipment takes {before[0]} or {name}, not both")
                return None
        return entry

    def _send(self, entry: Entry, **values: str | int) -> list[Attribute]:
        lines = entry.wireless if self._wireless and entry.wireless else entry.send
        return list(filled(lines, values))

    def _vlans(self) -> list[Attribute]:
        vlan, voice = self._place.vlan, self._place.voice_vlan
        both = self._known.accept.get("both_vlans")
        if vlan is not None and voice is not None and both is not None:
            return self._send(both, vlan=vlan, voice_vlan=voice)
        said = self._vlan("voice_vlan", voice)
        entry = self._known.accept.get("voice_vlan")
        if said and vlan is not None and entry is not None and entry.beside == "replaces":
            return self._lose("vlan", "a session is a telephone's or another's; the voice VLAN is said") or said
        return [*self._vlan("vlan", vlan), *said]

    def _vlan(self, field: str, value: int | str | None) -> list[Attribute]:
        entry = None if value is None else self._entry(field, field)
        if entry is None or value is None:
            return []
        if ("id" if isinstance(value, int) else "name") not in entry.takes:
            return self._lose(field, "this equipment takes a VLAN by its number alone")
        values: dict[str, str | int] = {field: value}
        if isinstance(value, int):
            values["tagged_voice_vlan"] = _TAGGED | value
        return self._send(entry, **values)

    def _word(self, field: str, value: str | None) -> list[Attribute]:
        entry = None if value is None else self._entry(field, field)
        if entry is None or value is None:
            return []
        if len(value) > entry.longest:
            return self._lose(field, f"this equipment takes {entry.longest} characters at most")
        return self._send(entry, **{field: value})

    def _number(self, field: str, value: int | None) -> list[Attribute]:
        entry = None if value is None else self._entry(field, field)
        return [] if entry is None or value is None else self._send(entry, **{field: value})

    def _redirect(self) -> list[Attribute]:
        url, acl = self._place.redirect_url, self._place.redirect_acl
        entry = None if url is None else self._entry("redirect", "redirect_url")
        if entry is None or url is None:
            return []
        if acl is None:
            return self._send(entry, redirect_url=url)
        if not any("redirect_acl" in line.needs for line in entry.send):
            self._lose("redirect_acl", "this equipment has no attribute for it")
        return self._send(entry, redirect_url=url, redirect_acl=acl)

    def _bandwidth(self) -> list[Attribute]:
        down, up = self._place.bandwidth_down, self._place.bandwidth_up
        entry = None if down is None or up is None else self._entry("bandwidth", "bandwidth_down")
        if entry is None or down is None or up is None:
            return []
        # An attribute of 32 bits ends at 4.29 Gbit/s: more than that is as good as no limit.
        return self._send(
            entry, down_kbps=down, up_kbps=up,
            down_bps=min(down * 1000, 0xFFFFFFFF), up_bps=min(up * 1000, 0xFFFFFFFF),
        )  # fmt: skip

    def _rules(self) -> list[Attribute]:
        rules = self._place.acl_rules
        if not rules:
            return []
        inline, by_name = self._known.accept.get("acl_rules"), self._known.accept.get("downloadable")
        if by_name is not None and (self._place.downloadable or inline is None):
            return self._downloaded(rules, by_name, inline)
        entry = self._entry("acl_rules", "acl_rules")
        if entry is None:
            return []
        if entry.other_family and self._place.ipv6 and not _covers_ipv6(rules, entry):
            return self._lose("acl_rules", "this equipment cannot be told rules for IPv6; `ipv6: false` does without")
        four: list[tuple[Family, Rule]] = [(4, rule) for rule in of_family(rules, 4)]
        six: list[tuple[Family, Rule]] = [(6, rule) for rule in of_family(rules, 6)] if self._place.ipv6 else []
        if entry.ipv6:
            return [*self._written(entry, entry.send, four), *self._written(entry, entry.ipv6, six)]
        if entry.families == (4,):
            return self._written(entry, entry.send, four)
        return self._written(entry, entry.send, _once(rules, ipv6=self._place.ipv6))

    def _downloaded(self, rules: tuple[Rule, ...], by_name: Entry, inline: Entry | None) -> list[Attribute]:
        if not fits_download(self._place):
            return self._lose("acl_rules", "the rules do not fit into the one answer that a switch gets")
        named = self._send(by_name, acl_name=acl_name(self._place))
        if not self._place.ipv6:
            return named
        if inline is None or not inline.ipv6:
            return self._lose("acl_rules", "a downloaded ACL is for IPv4; `ipv6: false` does without")
        return [*named, *self._written(inline, inline.ipv6, [(6, rule) for rule in of_family(rules, 6)])]

    def _written(self, entry: Entry, lines: tuple[Line, ...], rules: Sequence[tuple[Family, Rule]]) -> list[Attribute]:
        dialect = entry.dialect
        if dialect is None or not rules:
            return []
        texts = [dialect(rule, family) for family, rule in rules]
        if len(texts) > entry.most:
            return self._lose("acl_rules", f"this equipment takes {entry.most} rules at most")
        if entry.joined:
            texts = _joined(texts, entry)
        if any(len(text) > entry.longest for text in texts):
            what = "all rules together" if entry.joined == "comma" else "a rule"
            return self._lose("acl_rules", f"this equipment takes {entry.longest} characters for {what} at most")
        first = list(filled(entry.first, {}))
        numbered: list[dict[str, str | int]] = [{"rule": text, "number": at} for at, text in enumerate(texts, 1)]
        return [*first, *chain.from_iterable(filled(lines, values) for values in numbered)]


def _covers_ipv6(rules: tuple[Rule, ...], entry: Entry) -> bool:
    """Whether rules of IPv4 alone say as much: IPv6 is dropped there, and it was to be denied anyway."""
    wanted = any(rule.action == "permit" and 6 in rule.families() and rule.to is not None for rule in rules)
    return entry.other_family == "dropped" and rules[-1] == CLOSING and not wanted


def _once(rules: Sequence[Rule], *, ipv6: bool) -> list[tuple[Family, Rule]]:
    """Rules for equipment whose ``any`` means both versions of IP: each once, but ICMP, which has two numbers."""
    found: list[tuple[Family, Rule]] = []
    for rule in rules:
        families = [family for family in rule.families() if family == 4 or ipv6]
        found += [(family, rule) for family in (families if rule.protocol == "icmp" else families[:1])]
    return found


def _joined(texts: Sequence[str], entry: Entry) -> list[str]:
    """Several rules in one attribute (``comma``), or in one string that is cut at 253 octets (``nul``, RFC 4849)."""
    if entry.joined == "comma":
        return [", ".join(texts)]
    whole = "\0".join(texts)
    return [whole[start : start + 253] for start in range(0, len(whole), 253)]


def _is_wireless(request: Packet | None, known: Vendor) -> bool:
    value = None if request is None else request.first(_NAS_PORT_TYPE)
    if value is None or known.medium != "both":
        return known.medium == "wireless"
    return int.from_bytes(value, "big") in _WIRELESS
