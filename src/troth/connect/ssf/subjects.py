"""Whom an event is about: subject identifiers of RFC 9493, of SSF 1.0 (3.5), complex subjects (3.3), older dialects.

A simple subject has a format and a few texts. A complex one has members (user, device, tenant …) that describe the
same principal together; what it leaves out matches anything (8.1.3.1), so that a subject with a tenant alone means
everybody in it. What an identifier means here, :func:`names` says: a system and a value for the table of aliases.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from troth.connect.ssf.errors import SET_MALFORMED, refused
from troth.connect.ssf.secevent import storable

MAX_MEMBERS: Final = 16
MAX_ALIASES: Final = 16
_MAX_TEXT = 1_024

#: Format → the texts it must have. Of RFC 9493: account to uri; of SSF 1.0: jwt_id and saml_assertion_id.
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("uri",),
    "did": ("url",),
    "email": ("email",),
    "iss_sub": ("iss", "sub"),
    "opaque": ("id",),
    "phone_number": ("phone_number",),
    "uri": ("uri",),
    "jwt_id": ("iss", "jti"),
    "saml_assertion_id": ("issuer", "assertion_id"),
}
#: How older transmitters wrote the same: ``subject_type``, hyphens, ``phone`` (RISC 1.0, section 5; SSF 1.0, 8.1.3.3).
_OLDER: Final = {"iss-sub": "iss_sub", "phone": "phone_number", "phone-number": "phone_number", "acct": "account"}
#: Members of a complex subject that SSF 1.0 names, 3.3.
MEMBERS: Final = ("user", "device", "session", "application", "tenant", "org_unit", "group")
#: Members that say which of our subjects is meant.
PRINCIPALS: Final = frozenset({"user", "device"})
#: Members that stand for many at once when no principal stands beside them.
WIDE: Final = frozenset({"tenant", "org_unit", "group"})


@dataclass(frozen=True, slots=True)
class Identifier:
    """A simple subject.

    Attributes:
        values: the texts of its format; of a format unknown here, the first few texts that it has.
        aliases: for ``aliases``, its identifiers.
    """

    format: str
    values: Mapping[str, str]
    aliases: tuple[Identifier, ...] = ()

    def __str__(self) -> str:
        if self.aliases:
            return " = ".join(map(str, self.aliases))
        return f"{self.format} {' '.join(self.values.values())}"[:300]


@dataclass(frozen=True, slots=True)
class ComplexSubject:
    """Members that describe one principal together."""

    members: Mapping[str, Identifier]

    @property
    def wide(self) -> bool:
        """Whether it names no user, device or session, so that it means everybody who fits."""
        return not self.members.keys() & (PRINCIPALS | {"session", "application"})

    def __str__(self) -> str:
        return "; ".join(f"{name}: {one}" for name, one in self.members.items())[:600]


AnySubject: TypeAlias = "Identifier | ComplexSubject"


def parse_subject(value: Any) -> AnySubject:
    """The subject in ``value``. Raises SetRefused (``ssf.set.malformed``)."""
    found = _mapping(value, "the subject")
    form = found.get("format", found.get("subject_type"))
    if form == "complex" or (form is None and found and set(found) <= set(MEMBERS)):
        # Okta's and Jamf's events hold their members without saying `complex`.
        members = {name: one for name, one in found.items() if name not in ("format", "subject_type")}
        if not 0 < len(members) <= MAX_MEMBERS:
            raise refused(SET_MALFORMED, f"a complex subject has 1 to {MAX_MEMBERS} members (SSF 1.0, 3.3)")
        return ComplexSubject({_name(name): _identifier(one, f"subject.{name}"[:80]) for name, one in members.items()})
    return _identifier(found, "the subject")


def _identifier(value: Any, where: str, *, inner: bool = False) -> Identifier:
    found = _mapping(value, where)
    form = found.get("format", found.get("subject_type"))
    if not isinstance(form, str) or not 0 < len(form) <= 80 or not storable(form):
        raise refused(SET_MALFORMED, f"{where} has no format (RFC 9493, section 3)")
    form = _OLDER.get(form, form)
    if form == "complex":
        raise refused(SET_MALFORMED, f"{where} is complex within a complex subject")
    if form == "aliases":
        return _aliases(found, where, inner=inner)
    if form == "ip-addresses":
        return Identifier(form, {"ip-addresses": " ".join(_addresses(found.get("ip-addresses"), where))})
    required = REQUIRED.get(form)
    if required is None:
        texts = {name: one for name, one in found.items() if isinstance(one, str) and name != "format"}
        return Identifier(form, {name[:80]: one[:_MAX_TEXT] for name, one in list(texts.items())[:4] if storable(one)})
    values = {}
    for name in required:
        older = "phone" if name == "phone_number" else "email" if form == "account" else name
        values[name] = _text(found.get(name, found.get(older)), f"{where}.{name}")
    return Identifier(form, values)


def _aliases(found: Mapping[str, Any], where: str, *, inner: bool) -> Identifier:
    """RFC 9493, 3.2.8: identifiers of one subject, none of them ``aliases`` again."""
    listed = found.get("identifiers")
    if inner or not isinstance(listed, list) or not 0 < len(listed) <= MAX_ALIASES:
        raise refused(SET_MALFORMED, f"{where} does not list 1 to {MAX_ALIASES} identifiers (RFC 9493, 3.2.8)")
    return Identifier("aliases", {}, tuple(_identifier(one, where, inner=True) for one in listed))


def _addresses(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ALIASES:
        raise refused(SET_MALFORMED, f"{where} lists no IP addresses")
    try:
        return [str(ipaddress.ip_address(one)) for one in value if isinstance(one, str)]
    except ValueError as error:
        raise refused(SET_MALFORMED, f"{where} lists something else than IP addresses") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise refused(SET_MALFORMED, f"{where} is no JSON object")
    return value


def _name(name: str) -> str:
    if len(name) > 80 or not storable(name):
        raise refused(SET_MALFORMED, "a member of the subject has an endless name")
    return name


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not storable(value):
        raise refused(SET_MALFORMED, f"{where[:120]} is not a text of 1 to {_MAX_TEXT} characters")
    return value


def names(one: Identifier, issuer: str) -> list[tuple[str, str]]:
    """(system, value) by which the table of aliases may know who is meant, the surest first; empty: nobody can.

    ``issuer``: of the token; an opaque id means something within it alone. An IP address names nobody, and a session or
    an assertion only whoever has seen it begin, which Troth has not.
    """
    values = one.values
    if one.format == "aliases":
        return [name for alias in one.aliases for name in names(alias, issuer)]
    if one.format == "email":
        return [("email", values["email"].strip().lower())]
    if one.format == "iss_sub":
        found = [("iss_sub", f"{values['iss']}|{values['sub']}")]
        # Directories use the address as the subject (CAEP 1.0's own examples do); only for the transmitter's own users.
        if "@" in values["sub"] and values["iss"].rstrip("/") == issuer.rstrip("/"):
            found += [("upn", values["sub"].lower()), ("email", values["sub"].lower())]
        return found
    if one.format == "opaque":
        return [("iss_sub", f"{issuer}|{values['id']}")]
    if one.format == "account":
        address = values["uri"].removeprefix("acct:").lower()
        return [("upn", address), ("email", address)]
    if one.format == "phone_number":
        return [("phone", "".join(letter for letter in values["phone_number"] if letter in "+0123456789"))]
    if one.format in ("did", "uri"):
        return [(one.format, next(iter(values.values())))]
    return []


def matches(one: AnySubject, other: AnySubject) -> bool:
    """Whether two subjects match as SSF 1.0, 8.1.3.1 has it: a member that either leaves out matches anything."""
    if isinstance(one, ComplexSubject) and isinstance(other, ComplexSubject):
        return all(other.members.get(name, member) == member for name, member in one.members.items())
    return one == other
