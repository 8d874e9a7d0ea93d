"""Certificate profiles as pages and API show them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from troth.web.views import SubjectLink


class ProfileView(Struct, frozen=True, kw_only=True):
    """A version of a certificate profile. ``text`` is the YAML as applied.

    Attributes:
        kinds: kinds of names that its certificates may hold.
        variables: the facts that it is made from.
        templated: whether it makes names itself, rather than only taking over those that were proved.
        takes_names: whether it takes over any.
    """

    name: str
    version: int
    digest: str
    applied_at: datetime
    applied_by: str
    active: bool
    text: str
    description: str
    issuer_class: str
    extended_key_usage: tuple[str, ...]
    kinds: tuple[str, ...]
    lifetime: str
    max_lifetime: str
    variables: tuple[str, ...]
    templated: bool
    takes_names: bool


class PreviewView(Struct, frozen=True, kw_only=True):
    """What a certificate would say, or why there would be none.

    Attributes:
        profile: the one that would be issued: a decision may put another in place of the one asked for.
        fields: (label, text), decoded.
        refusal: why the profile cannot make it, None if it can.
        variable: the fact that is missing.
        outcome: what policy would say: allow, restrict, quarantine or deny; empty where nobody was asked about.
    """

    profile: str
    authority: str | None
    fields: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    refusal: str | None
    variable: str | None
    code: str = ""
    fix: str = ""
    outcome: str = ""
    reason: str = ""
    subject: SubjectLink | None = None
