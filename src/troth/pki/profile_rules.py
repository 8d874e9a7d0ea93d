"""What must hold between the fields of a profile, whoever wrote it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta

from troth.pki.attributes import MAX_ATTRIBUTES, TYPES
from troth.pki.errors import PROFILE_MALFORMED, NameRefused, ProfileRefused
from troth.pki.expressions import parse_text
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keycheck import KINDS as KEY_KINDS
from troth.pki.names import KINDS as NAME_KINDS
from troth.pki.names import canonical_dns, canonical_uri
from troth.pki.other_names import is_oid
from troth.pki.profile import Entry, NameConstraints, NameEntry, Profile
from troth.pki.usages import ANY_EXTENDED_KEY_USAGE, AUTHORITY_USAGES, EXTENDED_KEY_USAGES, KEY_USAGES, usage_oid

#: Longest life of a certificate of which no status is told: a stolen key is good for as long as this.
SHORT_LIVED = timedelta(days=7)
MAX_ENTRIES = 32
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_PEOPLE_USAGES = frozenset({"emailProtection", "codeSigning", "smartcardLogon", "documentSigning", "pkinitClientAuth"})
_PEOPLE = frozenset(EXTENDED_KEY_USAGES[name] for name in _PEOPLE_USAGES)

_Need = Callable[[bool, str], None]


def check(profile: Profile) -> None:
    """Raise ProfileRefused (``pki.profile.malformed``) with the first thing that is wrong."""

    def need(condition: bool, what: str) -> None:
        if not condition:
            raise ProfileRefused(PROFILE_MALFORMED, f"profile {profile.name[:80]!r}: {what}")

    need(bool(_NAME.match(profile.name)), "a name is lower-case letters, digits and hyphens")
    need(len(profile.description) <= 1000, "description: at most 1,000 characters")
    _usages(profile, need)
    _keys(profile, need)
    _lifetime(profile, need)
    _names(profile, need)
    _status(profile, need)
    _policies(profile, need)
    _authority(profile, need)
    _issuer_class(profile, need)


def _usages(profile: Profile, need: _Need) -> None:
    need(bool(profile.extended_key_usage), "extended_key_usage must not be empty")
    oids = []
    for usage in profile.extended_key_usage:
        try:
            oids.append(usage_oid(usage))
        except ValueError as error:
            need(False, str(error))
    need(ANY_EXTENDED_KEY_USAGE not in oids, "anyExtendedKeyUsage would be good for everything")
    need(len(set(oids)) == len(oids), "extended_key_usage names something twice")
    need(bool(profile.key_usage), "key_usage must not be empty")
    for usage in profile.key_usage:
        need(usage in KEY_USAGES, f"unknown key usage {usage[:80]!r}; known: {', '.join(KEY_USAGES)}")
    for listed in (profile.key_usage, profile.keys, profile.names.kinds, profile.status):
        need(len(set(listed)) == len(listed), "a list names something twice")


def _keys(profile: Profile, need: _Need) -> None:
    need(bool(profile.keys), "keys must not be empty")
    for kind in profile.keys:
        need(kind in KEY_KINDS, f"unknown kind of key {kind[:80]!r}; known: {', '.join(KEY_KINDS)}")


def _lifetime(profile: Profile, need: _Need) -> None:
    need(profile.default_lifetime <= profile.max_lifetime, "lifetime: default is above max")
    need(profile.backdate <= timedelta(hours=1), "lifetime: backdate is above one hour")
    left = profile.default_lifetime - profile.jitter
    need(left >= profile.default_lifetime / 2, "lifetime: jitter is above half of the default")
    need(left >= profile.backdate + timedelta(minutes=1), "lifetime: backdate and jitter leave no minute of it")


def _names(profile: Profile, need: _Need) -> None:
    for kind in profile.names.kinds:
        need(kind in NAME_KINDS, f"unknown kind of name {kind[:80]!r}; known: {', '.join(NAME_KINDS)}")
    need(0 <= profile.names.min <= profile.names.max <= 100, "names: 0 ≤ min ≤ max ≤ 100")
    need(profile.names.max == 0 or bool(profile.names.kinds) or profile.names.min == 0, "names.kinds is empty")
    need(
        profile.common_name == "required" or profile.names.min > 0 or bool(profile.subject) or bool(profile.san),
        "a certificate needs a name or a common name",
    )
    need(not profile.subject or profile.common_name == "absent", "common_name goes without subject")
    need(len(profile.subject) <= MAX_ATTRIBUTES, f"subject: at most {MAX_ATTRIBUTES} attributes")
    need(len(profile.san) <= MAX_ENTRIES, f"san: at most {MAX_ENTRIES} entries")
    for entry in profile.subject:
        _attribute(entry, "subject", need)
    for names in profile.san:
        _name_entry(names, need)
    if profile.strong_mapping is not None:
        parse_text(profile.strong_mapping.sid)
    certain = [text for entry in profile.subject for text in entry.values()]
    certain += [value for names in profile.san for value in names.values() if isinstance(value, str)]
    nameless = profile.names.min == 0 and profile.common_name != "required"
    need(
        not nameless or any("optional" not in text for text in certain) or _has_directory(profile),
        "one entry of subject or san must not be optional, or a certificate may have no name",
    )
    if profile.spiffe:
        need("uri" in profile.kinds, "spiffe needs a uri among its names")
        need("digitalSignature" in profile.key_usage, "an X509-SVID needs digitalSignature (X509-SVID, 4.3)")
        need(profile.basic_constraints != "ca", "a SPIFFE ID with a path is a workload's, not an authority's")


def _has_directory(profile: Profile) -> bool:
    return any("directory" in entry for entry in profile.san)


def _attribute(entry: Entry, where: str, need: _Need) -> None:
    need(len(entry) == 1, f"{where}: each entry is one attribute, such as CN: ${{user.name}}")
    for kind, text in entry.items():
        need(kind in TYPES, f"{where}: unknown attribute {kind[:40]!r}; known: {', '.join(TYPES)}")
        parse_text(text)


def _name_entry(entry: NameEntry, need: _Need) -> None:
    kinds = [kind for kind in entry if kind not in ("assigner", "type")]
    need(len(kinds) == 1, "san: each entry is one name, such as dns: ${device.name}.example.com")
    kind = kinds[0]
    need(kind in NAME_KINDS, f"san: unknown kind of name {kind[:80]!r}; known: {', '.join(NAME_KINDS)}")
    value = entry[kind]
    if kind == "directory":
        need(not isinstance(value, str) and len(value) > 0, "san: directory is a list of attributes")
        for attribute in value if not isinstance(value, str) else ():
            _attribute(attribute, "directory", need)
    else:
        need(isinstance(value, str), f"san: {kind} is one text")
        parse_text(str(value))
    need("assigner" not in entry or kind == "permanent-identifier", "san: only a permanent-identifier has an assigner")
    need(("type" in entry) == (kind == "hardware-module"), "san: a hardware-module, and it alone, has a type")
    for field in ("assigner", "type"):
        need(field not in entry or is_oid(str(entry[field])), f"san: {field} is an object identifier")


def _status(profile: Profile, need: _Need) -> None:
    responder = EXTENDED_KEY_USAGES["OCSPSigning"] in {usage_oid(usage) for usage in profile.extended_key_usage}
    need(responder == profile.ocsp_nocheck, "ocsp_nocheck and OCSPSigning go together")
    need(
        not profile.ocsp_nocheck
        or (len(profile.extended_key_usage) == 1 and profile.max_lifetime <= timedelta(days=7)),
        "a responder's certificate cannot be revoked: OCSPSigning alone, at most 7d",
    )
    if profile.no_rev_avail:
        # RFC 9608, section 4: with noRevAvail there must be no pointer to status.
        need(not profile.status, "no_rev_avail needs status: []")
        need(profile.max_lifetime <= SHORT_LIVED, "no_rev_avail is for lives of at most 7d")
        need(profile.basic_constraints != "ca", "no_rev_avail is not for authorities (RFC 9608, section 2)")
    need(not profile.must_staple or "ocsp" in profile.status, "must_staple needs ocsp among its status")


def _policies(profile: Profile, need: _Need) -> None:
    oids = [policy.oid for policy in profile.policies]
    need(len(set(oids)) == len(oids) <= 8, "policies: at most 8, each once")
    for policy in profile.policies:
        need(is_oid(policy.oid), f"policies: {policy.oid[:80]!r} is no object identifier")
        need(policy.oid != "2.5.29.32.0" or profile.basic_constraints == "ca", "policies: anyPolicy is for authorities")
        if policy.cps is not None:
            need(policy.cps.startswith(("http://", "https://")), "policies: cps is an http or https URL")
            _canonical(policy.cps, need)


def _canonical(uri: str, need: _Need) -> None:
    try:
        canonical_uri(uri)
    except NameRefused as refusal:
        need(False, refusal.detail)


def _authority(profile: Profile, need: _Need) -> None:
    ca = profile.basic_constraints == "ca"
    signs = AUTHORITY_USAGES & set(profile.key_usage)
    need(ca == ("keyCertSign" in signs) and (ca or not signs), "keyCertSign and cRLSign go with basic_constraints: ca")
    need(ca or (profile.path_length is None and profile.name_constraints is None),
         "path_length and name_constraints go with basic_constraints: ca")  # fmt: skip
    need(profile.path_length is None or 0 <= profile.path_length <= 8, "path_length: 0 to 8")
    if profile.name_constraints is not None:
        _constraints(profile.name_constraints, need)


def _constraints(constraints: NameConstraints, need: _Need) -> None:
    entries = (*constraints.permitted, *constraints.excluded)
    need(0 < len(entries) <= 64, "name_constraints: 1 to 64 entries")
    for entry in entries:
        need(len(entry) == 1, "name_constraints: each entry is one name, such as dns: example.com")
        ((kind, value),) = entry.items()
        need(kind in ("dns", "ip", "email", "uri"), f"name_constraints: no {kind[:40]!r} here")
        try:
            if kind == "ip":
                ipaddress.ip_network(value)
            else:
                canonical_dns(value.removeprefix(".").rpartition("@")[2], wildcard=False)
        except (ValueError, NameRefused):
            need(False, f"name_constraints: {kind} {value[:80]!r} is malformed")


def _issuer_class(profile: Profile, need: _Need) -> None:
    oids = {usage_oid(usage) for usage in profile.extended_key_usage}
    personal = "upn" in profile.kinds or profile.strong_mapping is not None or bool(oids & _PEOPLE)
    need(
        not personal or profile.issuer_class is IssuerClass.PEOPLE,
        f"user principal names, strong mapping and {', '.join(sorted(_PEOPLE_USAGES))} need issuer_class: people",
    )
