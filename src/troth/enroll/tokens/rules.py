"""From a proof to what it may have: the first rule whose claims fit, its names filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from troth.enroll.tokens.errors import TOKEN_CLAIM, TOKEN_NO_RULE, TokenRefused
from troth.enroll.tokens.model import Proof, as_text, claim
from troth.kit.token_settings import TokenRule

_PLACE = re.compile(r"\{([^{}]{1,200})\}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a rule gives.

    Attributes:
        claims: those that the rule looked at or filled in, as ``name=value``: the evidence.
    """

    rule: str
    names: tuple[str, ...]
    device: str
    directories: tuple[str, ...]
    profiles: tuple[str, ...]
    claims: tuple[str, ...]


def allowed(proof: Proof, rules: Mapping[str, TokenRule]) -> Allowed:
    """What ``proof`` may have. Raises TokenRefused if no rule fits, or a claim cannot be filled in."""
    for name in sorted(rules):
        rule = rules[name]
        if rule.claims and all(_fits(as_text(claim(proof.claims, one)), wanted) for one, wanted in rule.claims.items()):
            return _allowed(name, rule, proof)
    raise TokenRefused(TOKEN_NO_RULE)


def _fits(value: str | None, wanted: str) -> bool:
    if value is None:
        return False
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _allowed(name: str, rule: TokenRule, proof: Proof) -> Allowed:
    used = set(rule.claims)

    def fill(text: str) -> str:
        def one(place: re.Match[str]) -> str:
            used.add(place[1])
            value = (as_text(claim(proof.claims, place[1])) or "").lower()
            # One label and no more: a claim must not bring dots, a wildcard or a whole name of its own.
            if not _LABEL.match(value):
                raise TokenRefused(TOKEN_CLAIM, f"{place[1]} is no DNS label, so that no name can be made of it")
            return value

        return _PLACE.sub(one, text)

    names = tuple(fill(one) for one in rule.names)
    device = fill(rule.device) if rule.device else ""
    claims = tuple(f"{one}={(as_text(claim(proof.claims, one)) or '')[:300]}" for one in sorted(used))
    return Allowed(name, names, device, rule.directories, rule.profiles, claims)
