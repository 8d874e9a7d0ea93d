"""Synthetic extremes of a profile: the shortest and the longest that its certificates can say of a subject.

What passes the full lint at these ends passes between them: names are made of the same pieces. The facts are invented,
since a profile is linted before anybody has asked for a certificate of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from troth.kit.canonical import Json
from troth.pki.attributes import TYPES
from troth.pki.errors import PROFILE_MALFORMED, ProfileRefused
from troth.pki.expressions import Facts, parse_text
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.profile import Profile
from troth.pki.rendering import Rendered, render

_LONGEST_DNS = ".".join(["x" * 63] * 3 + ["y" * 53, "example"])
#: Kind of name → names that a door may have proved.
SAMPLES: Mapping[str, tuple[str, ...]] = {
    "dns": ("a.example", _LONGEST_DNS),
    "ip": ("192.0.2.1", "2001:db8::1"),
    "email": ("someone@a.example", f"{'m' * 64}@a.example"),
    "uri": ("spiffe://a.example/workload", "https://a.example/x"),
    "upn": ("someone@a.example", "Jürgen.Groß@a.example"),
    "permanent-identifier": ("C02ZK0ABCDEF", "1.3.6.1.4.1.32473.1/" + "9" * 200),
    "hardware-module": ("1.3.6.1.4.1.32473.2/00", "1.3.6.1.4.1.32473.2/" + "ff" * 64),
    "directory": ("CN=a", "C=DE,O=Example\\, Ltd,OU=Ünit,CN=" + "n" * 64),
}
#: Kind of text → what a variable that is all of it may be, at its shortest and longest.
_BARE: Mapping[str, tuple[Json, Json]] = {
    "dns": ("a.example", _LONGEST_DNS),
    "ip": ("192.0.2.1", "2001:db8::1"),
    "email": ("a@b.example", f"{'m' * 64}@department.corp.example"),
    "uri": ("urn:x", "https://department.corp.example/" + "p" * 100),
    "upn": ("a@b.example", "firstname.lastname@department.corp.example"),
    "permanent-identifier": ("1", "9" * 200),
    "hardware-module": ("00", "ff" * 64),
    "sid": ("S-1-5-32-544", "S-1-5-21-4294967295-4294967295-4294967295-4294967295"),
    "C": ("DE", "DE"),
    "DC": ("a", "d" * 63),
}
#: Words for all other variables, tried in turn until every text comes out well; what functions cut at is among them.
_SHORT = ("w", "w@b.example", "w-w", "w.w", "w_w", "w/w", "w w", "w:w", "00")
_LONG = ("w" * 60, "w" * 30, "w" * 15, "w" * 5, f"{'w' * 20}@department.corp.example", *_SHORT)


def _hints(profile: Profile) -> dict[str, tuple[Json, Json]]:
    """What the variables must look like that are the whole of a text of some kind."""
    texts = [(kind, text) for entry in profile.san for kind, text in entry.items() if isinstance(text, str)]
    texts += [(kind, text) for entry in profile.subject for kind, text in entry.items()]
    if profile.strong_mapping is not None:
        texts.append(("sid", profile.strong_mapping.sid))
    found: dict[str, tuple[Json, Json]] = {}
    for kind, source in texts:
        text = parse_text(source)
        if kind in _BARE and text.bare:
            found[text.variables[0]] = _BARE[kind]
    return found


def sample_facts(profile: Profile, *, long: bool) -> Facts:
    """Invented facts for every variable of ``profile``. Raises ProfileRefused if none can be found that fit."""
    hints = _hints(profile)
    refusal: ProfileRefused | None = None
    for end, word in product((long, False), _LONG if long else _SHORT):
        facts = {path: hints[path][end] if path in hints else word for path in sorted(profile.variables)}
        try:
            render(profile, facts, _names(profile)[0])
        except ProfileRefused as refused:
            refusal = refusal or refused
        else:
            return facts
    raise refusal or ProfileRefused(PROFILE_MALFORMED, "nothing to try")


def extremes(profile: Profile) -> list[Rendered]:
    """The fewest and the most, the shortest and the longest. Raises ProfileRefused if no invented facts fit."""
    names = _names(profile)
    common_names: Mapping[str, tuple[str | None, ...]] = {
        "absent": (None,),
        "optional": (None, "Sample"),
        "required": ("S", "S" * TYPES["CN"].limit),
    }
    found = [
        render(profile, facts, proved, common_name)
        for facts in [sample_facts(profile, long=long) for long in ((False, True) if profile.variables else (False,))]
        for proved in (names[0], names[-1])
        for common_name in common_names[profile.common_name]
        if proved or profile.templated or common_name is not None
    ]
    if profile.variables:
        found += _bare(profile, names[0])
    return list(dict.fromkeys(found))


def _bare(profile: Profile, proved: GeneralNames) -> list[Rendered]:
    """Without any fact: what is left when all that is optional is missing, if that is a certificate at all."""
    try:
        rendered = render(profile, {}, proved)
    except ProfileRefused:
        return []
    return [rendered] if rendered.names or rendered.subject else []


def _names(profile: Profile) -> list[GeneralNames]:
    wanted = profile.names
    samples = dict(SAMPLES)
    if wanted.wildcard:
        samples["dns"] = (*samples["dns"], "*.a.example")
    if profile.spiffe:
        samples["uri"] = samples["uri"][:1]
    pool = [(kind, value) for kind in wanted.kinds for value in samples[kind]]
    more = [("dns", f"n{i}.example") for i in range(wanted.max)] if "dns" in wanted.kinds else []
    return [canonical_names(pool[: wanted.min]), canonical_names([*pool, *more][: wanted.max])]
