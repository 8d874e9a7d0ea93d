"""Certificate profiles: what a certificate of some use looks like, in YAML that a person reads and git keeps.

A profile narrows, a request asks, and a request can never widen a profile. Unknown keys are refused, so that a
mistyped restriction is an error and not a hole. How to find your way:

* this module: the document as a record, and what it allows of a request;
* ``profile_document``: reading it from YAML, ``profile_rules``: what must hold between its fields;
* ``expressions`` and ``rendering``: its texts with variables, and the names they make of proved facts;
* ``template``: compiled to DER once; ``lint`` and ``lint_full``: what is held against the bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from troth.kit.canonical import canonical_json
from troth.pki.attributes import Attributes
from troth.pki.errors import HARDWARE_REQUIRED, PROFILE_MALFORMED, PROFILE_REFUSES, ProfileRefused
from troth.pki.expressions import parse_text
from troth.pki.issuer_classes import IssuerClass
from troth.pki.names import GeneralNames
from troth.pki.spiffe import is_spiffe_id
from troth.pki.usages import EXTENDED_KEY_USAGES, KEY_USAGES

__all__ = ["EXTENDED_KEY_USAGES", "KEY_USAGES", "Profile", "duration", "parse_profile", "shipped_profiles"]

KeyAssurance: TypeAlias = Literal["attested", "mdm-asserted", "unproven"]
#: One entry of ``subject``: attribute type → text.
Entry: TypeAlias = Mapping[str, str]
#: One entry of ``san``: kind of name → text; of ``directory``, a list of attributes.
NameEntry: TypeAlias = Mapping[str, "str | tuple[Entry, ...]"]

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|w|y)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
#: ``tag:`` URI that names an account by its SID (Microsoft KB5014754).
SID_URI = "tag:microsoft.com,2022-09-14:sid:"


class Lifetime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long, written as ``2y``, ``90d``, ``4h``, ``5m``.

    Attributes:
        jitter: certificates of the default lifetime end up to this much earlier, by chance, so that what was issued
            together is not renewed together where no renewal information (RFC 9773) reaches.
    """

    default: str
    max: str
    backdate: str = "1m"
    jitter: str | None = None


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the names that the door has proved are taken over, and how many.

    Attributes:
        others: what happens to names of a request that are neither taken over nor made by ``san``.
    """

    kinds: tuple[str, ...] = ()
    min: int = 0
    max: int = 100
    wildcard: bool = False
    others: Literal["refuse", "ignore"] = "refuse"


class CertificatePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate policy (RFC 5280, 4.2.1.4): its identifier, and where its practice statement is."""

    oid: str
    cps: str | None = None


class StrongMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Active Directory ties the certificate to one account (KB5014754).

    Attributes:
        sid: text that gives the account's security identifier.
        form: the security extension, the ``tag:`` URI, or both.
    """

    sid: str
    form: Literal["extension", "uri", "both"] = "extension"


class NameConstraints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name constraints of a CA certificate (RFC 5280, 4.2.1.10): entries of one kind (dns, ip, email, uri) each."""

    permitted: tuple[Mapping[str, str], ...] = ()
    excluded: tuple[Mapping[str, str], ...] = ()


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile, as applied.

    Attributes:
        extended_key_usage: names of :data:`EXTENDED_KEY_USAGES` or dotted; never empty (absent means "for anything").
        common_name: of profiles without ``subject``: ``absent`` (empty subject), ``optional`` or ``required``.
        basic_constraints: ``absent``, ``end-entity`` for a critical CA:FALSE, or ``ca`` (for ceremonies alone).
        keys: accepted kinds of keys.
        ocsp_nocheck: the responder's certificate is not itself checked (RFC 6960, 4.2.2.2.1).
        status: which pointers to status the certificate carries.
        subject: the distinguished name, attribute by attribute, as texts with variables.
        san: names made from texts with variables, besides those that ``names`` takes over.
        issuer_class: which authorities may sign it (:mod:`troth.pki.issuer_classes`).
        hardware_bound: ``required`` takes only keys whose attestation was verified.
        no_rev_avail: no status is told of it (RFC 9608); for short lives.
        must_staple: a server must staple its OCSP answer (RFC 7633).
        spiffe: an X509-SVID: exactly one URI name, a SPIFFE ID of a workload.
    """

    name: str
    description: str
    extended_key_usage: tuple[str, ...]
    key_usage: tuple[str, ...]
    lifetime: Lifetime
    keys: tuple[str, ...]
    names: Names = Names()
    common_name: Literal["absent", "optional", "required"] = "absent"
    basic_constraints: Literal["absent", "end-entity", "ca"] = "end-entity"
    ocsp_nocheck: bool = False
    status: tuple[Literal["ocsp", "crl"], ...] = ("ocsp", "crl")
    subject: tuple[Entry, ...] = ()
    san: tuple[NameEntry, ...] = ()
    issuer_class: IssuerClass = IssuerClass.OPEN
    hardware_bound: Literal["optional", "required"] = "optional"
    no_rev_avail: bool = False
    must_staple: bool = False
    policies: tuple[CertificatePolicy, ...] = ()
    strong_mapping: StrongMapping | None = None
    spiffe: bool = False
    path_length: int | None = None
    name_constraints: NameConstraints | None = None

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
    def jitter(self) -> timedelta:
        """How much earlier than its default a certificate may end, by chance; zero for none."""
        return timedelta(0) if self.lifetime.jitter is None else duration(self.lifetime.jitter)

    @property
    def digest(self) -> bytes:
        """SHA-256 over the canonical JSON of every field: equal profiles have equal digests."""
        return hashlib.sha256(canonical_json(msgspec.to_builtins(self))).digest()

    @property
    def templated(self) -> bool:
        """Whether anything in it is made from texts with variables."""
        return bool(self.subject or self.san or self.strong_mapping)

    def texts(self) -> Iterator[str]:
        """Every text with variables that it holds."""
        for entry in self.subject:
            yield from entry.values()
        for names in self.san:
            for value in names.values():
                if isinstance(value, str):
                    yield value
                else:
                    for attribute in value:
                        yield from attribute.values()
        if self.strong_mapping is not None:
            yield self.strong_mapping.sid

    @property
    def variables(self) -> frozenset[str]:
        """The facts that its texts read: ``user.upn``."""
        return frozenset(path for text in self.texts() for path in parse_text(text).variables)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of names that its certificates may hold."""
        made = {kind for entry in self.san for kind in entry if kind != "assigner" and kind != "type"}
        uri = {"uri"} if self.strong_mapping is not None and self.strong_mapping.form != "extension" else set()
        return frozenset({*self.names.kinds, *made, *uri})

    @property
    def has_sid(self) -> bool:
        """Whether its certificates hold the SID extension."""
        return self.strong_mapping is not None and self.strong_mapping.form != "uri"

    def allow(
        self,
        names: GeneralNames,
        common_name: str | None,
        key_kind: str,
        *,
        subject: Attributes = (),
        sid: str | None = None,
        key_assurance: KeyAssurance = "unproven",
    ) -> None:
        """Raise ProfileRefused unless a certificate with these canonical names and this key fits."""
        if key_kind not in self.keys:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} accepts no {key_kind} keys", key=key_kind)
        if self.hardware_bound == "required" and key_assurance != "attested":
            raise ProfileRefused(HARDWARE_REQUIRED, f"profile {self.name}: the key is {key_assurance}")
        self._allow_names(names)
        self._allow_subject(subject, common_name)
        if (sid is None) is self.has_sid:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name}: a SID goes with its security extension")
        if not names and not subject and common_name is None:
            raise ProfileRefused(PROFILE_REFUSES, "a certificate needs a name or a common name")

    def _allow_names(self, names: GeneralNames) -> None:
        most = self.names.max + len(self.san) + (0 if self.strong_mapping is None else 1)
        if not self.names.min <= len(names) <= most:
            raise ProfileRefused(
                PROFILE_REFUSES,
                f"profile {self.name} takes {self.names.min} to {most} names, not {len(names)}",
                names=len(names),
            )
        taken = self.names.kinds
        for kind, value in names:
            if kind not in taken and kind not in self.kinds:
                raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} takes no {kind} names", kind=kind)
            if kind == "dns" and value.startswith("*.") and not self._wildcards:
                raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} takes no wildcards", value=value)
        if self.spiffe:
            uris = [value for kind, value in names if kind == "uri"]
            if len(uris) != 1 or not is_spiffe_id(uris[0]):
                raise ProfileRefused(
                    PROFILE_REFUSES, f"profile {self.name} takes exactly one URI, a SPIFFE ID such as spiffe://a/b"
                )

    @property
    def _wildcards(self) -> bool:
        return self.names.wildcard or any(str(entry.get("dns", "")).startswith("*.") for entry in self.san)

    def _allow_subject(self, subject: Attributes, common_name: str | None) -> None:
        if self.subject:
            wanted = iter([next(iter(entry)) for entry in self.subject])
            # In the profile's order; optional attributes may be missing.
            if not all(kind in wanted for kind, _ in subject):
                raise ProfileRefused(PROFILE_REFUSES, f"the subject is not that of profile {self.name}")
            return
        if any(kind != "CN" for kind, _ in subject) or len(subject) > 1:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} has no subject beyond a common name")
        if self.common_name == "absent" and common_name is not None:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} has an empty subject")
        if self.common_name == "required" and common_name is None:
            raise ProfileRefused(PROFILE_REFUSES, f"profile {self.name} needs a common name")


@lru_cache(maxsize=256)
def duration(text: str) -> timedelta:
    """``2y``, ``90d``, ``4h``, ``5m`` or ``30s`` as a timedelta (a year has 365 days, a ``w`` 7).

    Raises ProfileRefused for anything else, for zero, and for more than a hundred years.
    """
    match = _DURATION.match(text)
    seconds = 0 if match is None else int(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= 100 * _SECONDS["y"]:
        raise ProfileRefused(PROFILE_MALFORMED, f"{text[:40]!r} is not a duration such as 2y, 90d, 4h or 5m")
    return timedelta(seconds=seconds)


def parse_profile(text: str) -> Profile:
    """A profile from YAML. Raises ProfileRefused with the field that is wrong."""
    from troth.pki.profile_document import read_profile

    return read_profile(text)


def shipped_profiles() -> dict[str, str]:
    """The YAML of the profiles that come with Troth, by name."""
    found: dict[str, str] = {}
    for item in resources.files("troth.pki").joinpath("profiles").iterdir():
        if item.name.endswith(".yaml"):
            found[item.name.removesuffix(".yaml")] = item.read_text(encoding="utf-8")
    return dict(sorted(found.items()))
