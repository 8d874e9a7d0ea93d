"""The value of a CAA property, which dns-persist-01 uses as well (RFC 8659, section 4.2; RFC 8657)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PARAMETER = re.compile(rf"({_LABEL})[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)", re.ASCII)
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class IssueValue:
    """Who may issue, and under which conditions.

    Attributes:
        issuer: domain name of the issuer, lower-case; empty: nobody.
        parameters: tags, lower-case, with their values; none stands twice.
    """

    issuer: str
    parameters: dict[str, str]


def parse_issue_value(value: bytes) -> IssueValue | None:
    """``value`` taken apart; None if it is malformed, or says the same parameter twice.

    A malformed value allows nobody (RFC 8659, 4.2), and so does one with a parameter that nobody can tell which of its
    values counts (RFC 8657, 3).
    """
    if len(value) > _LONGEST:
        return None
    try:
        head, semicolon, rest = value.decode("ascii").partition(";")
    except UnicodeDecodeError:
        return None
    issuer = head.strip(" \t")
    if issuer and not _DOMAIN.fullmatch(issuer):
        return None
    parameters: dict[str, str] = {}
    pieces = [piece.strip(" \t") for piece in rest.split(";")] if semicolon else []
    if pieces and not pieces[-1]:
        pieces.pop()  # "issuer;" and a semicolon behind the last parameter, as many zones have it
    for piece in pieces:
        found = _PARAMETER.fullmatch(piece)
        if found is None or found[1].lower() in parameters:
            return None
        parameters[found[1].lower()] = found[2]
    return IssueValue(issuer.lower(), parameters)
