"""From a profile and proved facts to the names of one certificate.

What a certificate says of its subject comes from two places and no third: the profile's own texts, filled with facts
that somebody other than the applicant vouches for, and the names that the door has proved, as far as the profile takes
them over. What stands in a signing request besides is refused, or ignored where the profile says so.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from troth.pki.attributes import Attribute, Attributes, attributes_text, canonical_attribute, common_name_of
from troth.pki.errors import PROFILE_REFUSES, NameRefused, ProfileRefused
from troth.pki.expressions import Facts, Text, parse_text
from troth.pki.names import GeneralName, GeneralNames, canonical_name, canonical_names
from troth.pki.other_names import canonical_permanent_identifier
from troth.pki.profile import SID_URI, Entry, NameEntry, Profile
from troth.pki.sid import canonical_sid


class Rendered(msgspec.Struct, frozen=True):
    """What one certificate will say of its subject.

    Attributes:
        names: canonical.
        subject: the distinguished name; empty for none.
        sid: for the security extension; None where the profile has none.
    """

    names: GeneralNames
    subject: Attributes = ()
    sid: str | None = None

    @property
    def common_name(self) -> str | None:
        """The subject's CN, if it has one."""
        return common_name_of(self.subject)


def render(profile: Profile, facts: Facts, proved: GeneralNames, common_name: str | None = None) -> Rendered:
    """The names that ``profile`` makes of ``facts`` and of the ``proved`` names that it takes over.

    ``common_name``: for profiles without a subject of their own; vouched for by the caller.
    Raises ProfileRefused: a variable is missing (``facts["variable"]``), a name comes out malformed, or a name is asked
    for that the profile does not certify.
    """
    made = [name for entry in profile.san if (name := _name(entry, facts)) is not None]
    sid = None if profile.strong_mapping is None else _sid(profile.strong_mapping.sid, facts)
    if sid is not None and profile.strong_mapping is not None and profile.strong_mapping.form != "extension":
        made.append(("uri", SID_URI + sid))
    taken = [name for name in proved if name[0] in profile.names.kinds]
    if len(taken) < profile.names.min:
        raise ProfileRefused(
            PROFILE_REFUSES, f"profile {profile.name} takes at least {profile.names.min} names, not {len(taken)}"
        )
    names = canonical_names([*made, *taken])
    if profile.names.others == "refuse":
        _refuse_others(profile, proved, names)
    subject = tuple(found for entry in profile.subject if (found := _attribute(entry, facts)) is not None)
    if common_name is not None and not profile.subject:
        subject = (_checked("CN", common_name, "the common name"),)
    return Rendered(names, subject, sid if profile.has_sid else None)


def _refuse_others(profile: Profile, proved: GeneralNames, names: GeneralNames) -> None:
    known = set(names)
    for kind, value in proved:
        if (kind, value) not in known:
            raise ProfileRefused(
                PROFILE_REFUSES, f"profile {profile.name} does not certify {kind} {value[:80]!r}", kind=kind
            )


def _name(entry: NameEntry, facts: Facts) -> GeneralName | None:
    """One name of ``san``; None when it is optional and a variable is missing."""
    kind = next(kind for kind in entry if kind not in ("assigner", "type"))
    value = entry[kind]
    if not isinstance(value, str):
        attributes = [found for inner in value if (found := _attribute(inner, facts)) is not None]
        return (kind, attributes_text(tuple(attributes))) if attributes else None
    text = parse_text(value)
    # Inside a URI a value is data: it may not bring separators of its own.
    filled = text.fill(facts, encode=_escaped if kind == "uri" and not text.bare else str)
    if filled is None:
        return None
    try:
        return canonical_name(kind, _qualified(kind, filled, entry), wildcard=text.beginning.startswith("*."))
    except (NameRefused, ValueError) as error:
        raise _malformed(f"{kind}: {value}", error) from None


def _escaped(value: str) -> str:
    return quote(value, safe="")


def _qualified(kind: str, value: str, entry: NameEntry) -> str:
    """With its assigner or type before it, where the kind has one; a value must not bring its own."""
    if kind == "permanent-identifier":
        if "/" in value and canonical_permanent_identifier("/" + value) != "/" + value:
            raise ValueError("reads like an identifier with an assigner of its own")
        head, slash, _ = value.partition("/")
        if slash and head and set(head) <= set("0123456789."):
            raise ValueError("reads like an identifier with an assigner of its own")
        return f"{entry['assigner']}/{value}" if "assigner" in entry else value
    return f"{entry['type']}/{value}" if kind == "hardware-module" else value


def _attribute(entry: Entry, facts: Facts) -> Attribute | None:
    ((kind, source),) = entry.items()
    filled = parse_text(source).fill(facts)
    return None if filled is None else _checked(kind, filled, f"{kind}: {source}")


def _checked(kind: str, value: str, where: str) -> Attribute:
    try:
        return canonical_attribute(kind, value)
    except NameRefused as refusal:
        raise _malformed(where, refusal) from None


def _malformed(where: str, error: Exception) -> ProfileRefused:
    detail = error.detail if isinstance(error, NameRefused) else str(error)
    return ProfileRefused(PROFILE_REFUSES, f"{where[:120]} comes out malformed: {detail}")


def _sid(source: str, facts: Facts) -> str | None:
    text: Text = parse_text(source)
    filled = text.fill(facts)
    if filled is None:
        return None
    try:
        return canonical_sid(filled)
    except ValueError as error:
        raise _malformed(f"strong_mapping: {source}", error) from None
