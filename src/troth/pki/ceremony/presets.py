"""Whole hierarchies as plans: small, enterprise, regulated, post-quantum.

A preset writes one plan per ceremony, numbered in the order in which they are held. They are complete but for what
only the day can tell (a public key made elsewhere, a serial number of a CRL's entry), and meant to be read, changed and
agreed on: the plans are the product, the preset is a way to begin.

small: one root, one issuing authority for everybody; keys in software, 2 of 3 custodians.
enterprise: one root, one issuing authority for each class; 3 of 5 custodians; with ``policy_tier`` an authority
between them, which keeps the root in its safe for longer.
regulated: as enterprise, with keys in tokens (RSA-4096 root, P-384 issuers), a PIN that exists only as shares (3 of 5
of security and 1 of audit), certificate policies and extended key usages.
post-quantum: the enterprise's classical hierarchy, and beside it one of ML-DSA (87 for the root, 65 for issuers) with
the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

import yaml

from troth.pki.ceremony.errors import PLAN_REFUSED, PlanRefused
from troth.pki.ceremony.plan import utc
from troth.pki.issuer_classes import EVERY, IssuerClass, IssuerClasses
from troth.pki.signer.class_rules import bounds_of

_ROOT_YEARS, _POLICY_YEARS, _ISSUING_YEARS = 20, 10, 5
_OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
#: 2.23.140 is the CA/Browser Forum's; a private PKI has its own arc, and anyPolicy until it is chosen.
_ANY_POLICY = "2.5.29.32.0"


class Preset(StrEnum):
    """See the module."""

    SMALL = "small"
    ENTERPRISE = "enterprise"
    REGULATED = "regulated"
    POST_QUANTUM = "post-quantum"


@dataclass(frozen=True, slots=True)
class Keeper:
    """A custodian for the plans."""

    group: str
    name: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Token:
    """The token of a regulated hierarchy."""

    module: str
    label: str


#: Preset → group → (needed, least number of members).
_SPLITS: Mapping[Preset, Mapping[str, tuple[int, int]]] = {
    Preset.SMALL: {"security": (2, 3)},
    Preset.ENTERPRISE: {"security": (3, 5)},
    Preset.REGULATED: {"security": (3, 5), "audit": (1, 2)},
    Preset.POST_QUANTUM: {"security": (3, 5)},
}


def keeper_of(text: str) -> Keeper:
    """``GROUP:NAME:RECIPIENT``. Raises PlanRefused."""
    group, _, rest = text.partition(":")
    name, _, recipient = rest.rpartition(":")
    if not group or not name or not recipient.startswith("age1"):
        raise PlanRefused(PLAN_REFUSED, f"{text[:80]!r} is not GROUP:NAME:RECIPIENT")
    return Keeper(group, name, recipient)


def plans_of(
    preset: Preset,
    *,
    org: str,
    now: datetime,
    url: str,
    keepers: Sequence[Keeper],
    token: Token | None = None,
    policy_tier: bool = False,
) -> dict[str, str]:
    """The plans (YAML) by their path. Raises PlanRefused for custodians or a token that are wanting.

    Args:
        org: stands as O in every subject, and begins the authorities' names.
        now: the ceremonies' window begins on this day and lasts four weeks.
        url: where certificates and CRLs will be fetched from, over plain HTTP.
    """
    if policy_tier and preset is Preset.SMALL:
        raise PlanRefused(PLAN_REFUSED, "the small preset has no policy tier")
    if (token is None) == (preset is Preset.REGULATED):
        raise PlanRefused(PLAN_REFUSED, "the regulated preset, and no other, names a token (module and label)")
    begin = utc(now).replace(hour=0, minute=0, second=0, microsecond=0)
    writer = _Writer(preset, org, begin, url.rstrip("/"), _groups(preset, keepers), token)
    root, issuer = ("rsa4096", "p384") if preset is Preset.REGULATED else ("p384", "p384")
    writer.hierarchy("", root, issuer, policy_tier=policy_tier)
    if preset is Preset.POST_QUANTUM:
        writer.hierarchy("pq-", "mldsa87", "mldsa65", policy_tier=policy_tier)
    return writer.plans


def _groups(preset: Preset, keepers: Sequence[Keeper]) -> list[dict[str, Any]]:
    found = []
    for name, (needed, least) in _SPLITS[preset].items():
        members = [{"name": one.name, "recipient": one.recipient} for one in keepers if one.group == name]
        if len(members) < least:
            raise PlanRefused(PLAN_REFUSED, f"{preset} needs {least} custodians of {name}; {len(members)} are named")
        found.append({"name": name, "threshold": needed, "members": members})
    strange = next((one.group for one in keepers if one.group not in _SPLITS[preset]), None)
    if strange is not None:
        raise PlanRefused(PLAN_REFUSED, f"{preset} has no custodians of {strange!r}")
    return found


class _Writer:
    """Plans, as they are written one after the other."""

    def __init__(
        self, preset: Preset, org: str, begin: datetime, url: str, groups: list[dict[str, Any]], token: Token | None
    ) -> None:
        self._preset = preset
        self._org = org
        self._begin = begin
        self._url = url
        self._groups = groups
        self._token = token
        # Names of authorities in URLs begin with the organisation: an installation has a root of its own already.
        self._name = re.sub(r"[^a-z0-9]+", "-", org.lower()).strip("-")[:40] or "org"
        self._labels: dict[str, str] = {}
        self.plans: dict[str, str] = {}

    def hierarchy(self, prefix: str, root: str, issuer: str, *, policy_tier: bool) -> None:
        """Root, policy tier if wanted, issuers, and the CRL of each offline authority."""
        quantum = " PQ" if prefix else ""
        top = f"{prefix}root"
        self._root(top, f"{self._org}{quantum} Root CA R1", root, path_length=2 if policy_tier else 1)
        above = top
        if policy_tier:
            above = f"{prefix}policy"
            self._key(above, root)
            self._authority(above, top, f"{self._org}{quantum} Policy CA P1", root, EVERY, 1, _POLICY_YEARS)
        small = self._preset is Preset.SMALL
        classes: Sequence[tuple[str, IssuerClasses]] = (
            (("issuing", EVERY),) if small else tuple((one.value, (one,)) for one in IssuerClass)
        )
        signing = root
        for slug, served in classes:
            name = f"{self._org}{quantum} {slug.capitalize()} CA I1"
            self._authority(f"{prefix}{slug}", above, name, signing, served, 0, _ISSUING_YEARS, wanted=issuer)
        for one in (top, above) if policy_tier else (top,):
            self._crl(one, root)

    def _root(self, slug: str, name: str, algorithm: str, *, path_length: int) -> None:
        document: dict[str, Any] = {
            **self._head("root", name),
            "key": self._new_key(slug, algorithm),
            "outputs": {"directory": f"results/{slug}"},
            "certificate": {
                "subject": {"organization": self._org, "common_name": name},
                "validity": self._validity(_ROOT_YEARS),
                "path_length": path_length,
            },
            "custodians": {"groups": self._groups},
        }
        self._write(f"root-{slug}", document)

    def _key(self, slug: str, algorithm: str) -> None:
        document: dict[str, Any] = {
            **self._head("key", f"Key of {self._org} {slug}"),
            "key": self._new_key(slug, algorithm),
            "outputs": {"directory": f"results/{slug}-key"},
        }
        if self._token is None:
            document["custodians"] = {"groups": self._groups}  # in a token it is opened by the root's PIN
        self._write(f"key-{slug}", document)

    def _authority(
        self,
        slug: str,
        above: str,
        name: str,
        algorithm: str,
        classes: IssuerClasses,
        path_length: int,
        years: int,
        *,
        wanted: str | None = None,
    ) -> None:
        """``wanted``: an online signer makes the key, of this kind; else the key ceremony before did."""
        certificate: dict[str, Any] = {
            "subject": {"organization": self._org, "common_name": name},
            "validity": self._validity(years),
            "path_length": path_length,
            "issuer_classes": [one.value for one in classes],
            "ca_issuers_url": f"{self._url}/ca/{self._name}-{above}.cer",
            "crl_url": f"{self._url}/crl/{self._name}-{above}.crl",
        }
        if self._preset is Preset.REGULATED:
            certificate["policies"] = [_ANY_POLICY]
            usages = bounds_of(classes).extended_key_usages
            certificate["extended_key_usages"] = sorted({*usages, _OCSP_SIGNING})
        public = f"results/{slug}-key/public-key.pem" if wanted is None else f"keys/{slug}.pem"
        document: dict[str, Any] = {
            **self._head("intermediate", name),
            "key": self._old_key(above, algorithm),
            "inputs": {
                "issuer": f"results/{above}/certificate.pem",
                "public_key": public,
                "public_key_sha256": "0" * 64,
            },
            "outputs": {"directory": f"results/{slug}"},
            "certificate": certificate,
        }
        made = "the key ceremony before"
        if wanted is not None:
            made = f"`troth key generate --algorithm {wanted}` and `troth key show KEY` on the online machine"
        note = (
            f"# The public key comes from {made}.\n"
            "# Put its SHA-256, as it is told there, under public_key_sha256 before this plan is agreed on.\n"
            f"# This authority is imported with --slug {self._name}-{slug}.\n"
        )
        self._write(f"authority-{slug}", document, note)

    def _crl(self, slug: str, algorithm: str) -> None:
        document = {
            **self._head("root-crl", f"First CRL of {self._org} {slug}"),
            "key": self._old_key(slug, algorithm),
            "inputs": {"issuer": f"results/{slug}/certificate.pem"},
            "outputs": {"directory": f"results/{slug}-crl-1"},
            "crl": {
                "number": 1,
                "this_update": _time(self._begin),
                "next_update": _time(self._begin + timedelta(days=365)),
                "revoked": [],
            },
        }
        self._write(f"crl-{slug}", document)

    def _head(self, kind: str, title: str) -> dict[str, Any]:
        window = {"from": _time(self._begin), "until": _time(self._begin + timedelta(days=28))}
        return {"ceremony": kind, "title": title, "window": window}

    def _validity(self, years: int) -> dict[str, str]:
        # 365 days a year: the leap days are left out, so that nothing outlives its issuer by a day.
        end = self._begin + timedelta(days=365 * years) - timedelta(seconds=1)
        return {"from": _time(self._begin), "until": _time(end)}

    def _new_key(self, slug: str, algorithm: str) -> dict[str, Any]:
        if self._token is None:
            return {"custody": "software", "algorithm": algorithm}
        # The first ceremony makes the PIN; those after it open the token with its shares.
        pin = self._pin() if self.plans else {"pin": "new", "initial_pin": "initial.pin"}
        self._labels[slug] = f"{slug.replace('-', '')}-{uuid4()}"
        return {"custody": "pkcs11", "algorithm": algorithm, **self._place(slug), **pin}

    def _old_key(self, slug: str, algorithm: str) -> dict[str, Any]:
        place = f"results/{slug}" if f"key-{slug}" not in {name[3:-5] for name in self.plans} else f"results/{slug}-key"
        if self._token is None:
            sealed, shares = f"{place}/key.sealed", f"{place}/shares.json"
            return {"custody": "software", "algorithm": algorithm, "sealed": sealed, "shares": shares}
        return {"custody": "pkcs11", "algorithm": algorithm, **self._place(slug), **self._pin()}

    def _place(self, slug: str) -> dict[str, str]:
        token, label = self._token, self._labels[slug]
        return {} if token is None else {"module": token.module, "token": token.label, "label": label}

    def _pin(self) -> dict[str, str]:
        return {"pin": "shares", "shares": "results/root/shares.json"}

    def _write(self, name: str, document: dict[str, Any], note: str = "") -> None:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
        self.plans[f"{len(self.plans) + 1:02}-{name}.yaml"] = note + text


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
