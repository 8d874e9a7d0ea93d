"""Certificate profiles: what a certificate of some use looks like, in YAML that a person reads and git keeps.

A profile narrows, a request asks, and a request can never widen a profile. Unknown keys are refused, so that a
mistyped restriction is an error and not a hole. Compiled to DER once by :mod:`troth.pki.template`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

from troth.kit.canonical import canonical_json
from troth.pki.errors import PROFILE_MALFORMED, PROFILE_REFUSES, ProfileRefused
from troth.pki.issuer_classes import IssuerClass
from troth.pki.keycheck import KINDS as KEY_KINDS
from troth.pki.names import KINDS as NAME_KINDS
from troth.pki.names import GeneralNames

#: Extended key usages by their RFC name.
EXTENDED_KEY_USAGES: Mapping[str, str] = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
}
#: Bit positions of RFC 5280, 4.2.1.3. keyCertSign and cRLSign are missing on purpose: no profile makes a CA.
KEY_USAGES: Mapping[str, int] = {
    "digitalSignature": 0,
    "contentCommitment": 1,
    "keyEncipherment": 2,
    "dataEncipherment": 3,
    "keyAgreement": 4,
}
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


class Lifetime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, written as ``90d``, ``4h``, ``5m``."""

    default: str
    max: str
    backdate: str = "1m"


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which subject alternative names, and how many."""

    kinds: tuple[str, ...] = ()
    min: int = 0
    max: int = 100
    wildcard: bool = False


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile, as applied.

    Attributes:
        extended_key_usage: names of :data:`EXTENDED_KEY_USAGES`; never empty (an absent EKU means "for anything").
        common_name: ``absent`` (empty subject), ``optional`` or ``required``.
        basic_constraints: ``absent``, or ``end-entity`` for a critical CA:FALSE.
        keys: accepted kinds of keys.
        ocsp_nocheck: the responder's certificate is not itself checked (RFC 6960, 4.2.2.2.1).
        status: which pointers to status the certificate carries.
        issuer_class: which authorities may sign it (:mod:`troth.pki.issuer_classes`).
    """

    name: str
    description: str
    extended_key_usage: tuple[str, ...]
    key_usage: tuple[str, ...]
    lifetime: Lifetime
    keys: tuple[str, ...]
    names: Names = Names()
    common_name: Literal["absent", "optional", "required"] = "absent"
    basic_constraints: Literal["absent", "end-entity"] = "end-entity"
    ocsp_nocheck: bool = False
    status: tuple[Literal["ocsp", "crl"], ...] = ("ocsp", "crl")
    issuer_class: IssuerClass = IssuerClass.OPEN

    @property
    def default_lifetime(self) -> timedelta:
        """Used when a request names none."""
        return duration(self.lifetime.default)

    @property
    def max_lifetime(self) -> timedelta:
        """Requests above it are cut to it."""
        return duration(self.lifetime.max)

    @property
    def backdate(self) -> timedelta:
        """How far notBefore lies in the past, for clients whose clock is behind; at most an hour."""
        return duration(self.lifetime.backdate)

    @property
    def digest(self) -> bytes:
        """SHA-256 over the canonical JSON of every field: equal profiles have equal digests."""
        return hashlib.sha256(canonical_json(msgspec.to_builtins(self))).digest()

    def allow(self, names: GeneralNames, common_name: str | None, key_kind: str) -> None:
        """Raise ProfileRefused unless a certificate with these canonical names and this key fits."""
        if key_kind not in self.keys:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} accepts no {key_kind} keys", key=key_kind)
        if not self.names.min <= len(names) <= self.names.max:
            raise ProfileRefused(
                PROFILE_REFUSES,
                f"profile {self.name} takes {self.names.min} to {self.names.max} names, not {len(names)}",
                names=len(names),
            )
        for kind, value in names:
            if kind not in self.names.kinds:
                raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} takes no {kind} names", kind=kind)
            if kind == "dns" and value.startswith("*.") and not self.names.wildcard:
                raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} takes no wildcards", value=value)
        if self.common_name == "absent" and common_name is not None:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} has an empty subject")
        if self.common_name == "required" and common_name is None:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} needs a common name")
        if common_name is None and not names:
            raise ProfileRefused(PROFILE_REFUSES, "a certificate needs a name or a common name")


@lru_cache(maxsize=256)
def duration(text: str) -> timedelta:
    """``90d``, ``4h``, ``5m`` or ``30s`` as a timedelta. Raises ProfileRefused for anything else and for zero."""
    match = _DURATION.match(text)
    if match is None or int(match[1]) == 0:
        raise ProfileRefused(PROFILE_MALFORMED, f"{text!r} is not a duration such as 90d, 4h or 5m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_profile(text: str) -> Profile:
    """A profile from YAML. Raises ProfileRefused with the field that is wrong."""
    if len(text) > 65_536:
        raise ProfileRefused(PROFILE_MALFORMED, "the document is longer than 64 KiB")
    try:
        document: Any = yaml.safe_load(text)
        profile = msgspec.convert(document, Profile)
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError) as error:
        raise ProfileRefused(PROFILE_MALFORMED, str(error).splitlines()[0][:300]) from error
    _check(profile)
    return profile


def _check(profile: Profile) -> None:
    def need(condition: bool, what: str) -> None:
        if not condition:
            raise ProfileRefused(PROFILE_MALFORMED, f"profile {profile.name[:80]!r}: {what}")

    need(bool(_NAME.match(profile.name)), "a name is lower-case letters, digits and hyphens")
    need(bool(profile.extended_key_usage), "extended_key_usage must not be empty")
    for usage in profile.extended_key_usage:
        need(usage in EXTENDED_KEY_USAGES, f"unknown extended key usage {usage[:80]!r}")
    need(bool(profile.key_usage), "key_usage must not be empty")
    for usage in profile.key_usage:
        need(usage in KEY_USAGES, f"unknown key usage {usage[:80]!r}")
    need(bool(profile.keys), "keys must not be empty")
    for kind in profile.keys:
        need(kind in KEY_KINDS, f"unknown kind of key {kind[:80]!r}; known: {', '.join(KEY_KINDS)}")
    for kind in profile.names.kinds:
        need(kind in NAME_KINDS, f"unknown kind of name {kind[:80]!r}; known: {', '.join(NAME_KINDS)}")
    for listed in (profile.extended_key_usage, profile.key_usage, profile.keys, profile.names.kinds, profile.status):
        need(len(set(listed)) == len(listed), "a list names something twice")
    need(0 <= profile.names.min <= profile.names.max <= 100, "names: 0 ≤ min ≤ max ≤ 100")
    need(profile.names.max == 0 or bool(profile.names.kinds) or profile.names.min == 0, "names.kinds is empty")
    need(profile.common_name == "required" or profile.names.min > 0, "a certificate needs a name or a common name")
    need(profile.default_lifetime <= profile.max_lifetime, "lifetime: default is above max")
    need(profile.backdate <= timedelta(hours=1), "lifetime: backdate is above one hour")
    need(
        ("OCSPSigning" in profile.extended_key_usage) == profile.ocsp_nocheck,
        "ocsp_nocheck and OCSPSigning go together",
    )
    need(
        not profile.ocsp_nocheck
        or (len(profile.extended_key_usage) == 1 and profile.max_lifetime <= timedelta(days=7)),
        "a responder's certificate cannot be revoked: OCSPSigning alone, at most 7d",
    )


def shipped_profiles() -> dict[str, str]:
    """The YAML of the profiles that come with Troth, by name."""
    found: dict[str, str] = {}
    for item in resources.files("troth.pki").joinpath("profiles").iterdir():
        if item.name.endswith(".yaml"):
            found[item.name.removesuffix(".yaml")] = item.read_text(encoding="utf-8")
    return dict(sorted(found.items()))
