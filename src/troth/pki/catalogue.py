"""What may be issued here and now: authorities and applied profiles, compiled on first use and kept.

The catalogue is a copy of two small tables. ``refresh`` reads them again (the assembly calls it on the ledger events
``profile.applied`` and ``authority.*`` and now and then besides); readers between two refreshes see one consistent
state, since the copy is exchanged whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from troth.audit.event import Event
from troth.kit.clock import Clock
from troth.pki.algorithms import MldsaPublicKey
from troth.pki.authorities import Authority, chain_of, find
from troth.pki.authority_store import ADD_AUTHORITY, ADD_PROFILE, AuthorityStore
from troth.pki.cross import chains_of
from troth.pki.cross_store import CrossCertificate, CrossStore
from troth.pki.errors import (
    AUTHORITY_EXISTS,
    AUTHORITY_MISSING,
    PROFILE_CHANGED,
    PROFILE_UNKNOWN,
    AuthorityRefused,
    ProfileRefused,
)
from troth.pki.keycheck import check_key, is_post_quantum
from troth.pki.lint_full import lint_profile
from troth.pki.profile import Profile, parse_profile
from troth.pki.template import Template, compile_template
from troth.store.pool import Database
from troth.store.unit import Unit

#: Most of a refresh would be reading YAML again that has not changed.
_read = lru_cache(maxsize=256)(parse_profile)


@dataclass(frozen=True, slots=True)
class AppliedProfile:
    """The version of a profile that governs."""

    profile: Profile
    version: int
    document: str
    applied_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class _Copy:
    authorities: Mapping[str, Authority] = field(default_factory=dict)
    profiles: Mapping[str, AppliedProfile] = field(default_factory=dict)
    crosses: tuple[CrossCertificate, ...] = ()
    templates: dict[tuple[str, str], Template] = field(default_factory=dict)
    chains: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    issuers: dict[tuple[str, bool], Authority] = field(default_factory=dict)


class Catalogue:
    """See the module. Belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._copy = _Copy()

    async def refresh(self) -> None:
        """Read authorities and profiles again."""
        store = AuthorityStore(self._database)
        authorities = {authority.slug: authority for authority in await store.authorities()}
        profiles = {
            name: AppliedProfile(_read(document), version, document, applied_at, actor)
            for name, version, _, document, applied_at, actor in await store.profiles()
        }
        self._copy = _Copy(authorities, profiles, tuple(await CrossStore(self._database).all()))

    @property
    def authorities(self) -> Mapping[str, Authority]:
        """All authorities by slug."""
        return self._copy.authorities

    @property
    def profiles(self) -> Mapping[str, AppliedProfile]:
        """The governing version of every profile, by name."""
        return self._copy.profiles

    def profile(self, name: str) -> Profile:
        """The governing version of one profile. Raises ProfileRefused."""
        applied = self._copy.profiles.get(name)
        if applied is None:
            raise ProfileRefused(PROFILE_UNKNOWN, f"no profile is named {name[:80]!r}")
        return applied.profile

    def authority(self, slug: str) -> Authority:
        """One authority. Raises AuthorityRefused."""
        return find(slug, self._copy.authorities)

    def chain(self, slug: str) -> tuple[bytes, ...]:
        """DER of the authority and its parents without the root. Raises AuthorityRefused."""
        copy = self._copy
        if slug not in copy.chains:
            copy.chains[slug] = chain_of(slug, copy.authorities)
        return copy.chains[slug]

    def chains(self, slug: str) -> Sequence[tuple[bytes, ...]]:
        """Every chain that can be offered for what the authority issues, that of its own parents first."""
        return chains_of(slug, self._copy.authorities, self._copy.crosses, self._clock.now())

    def template(self, authority: str, profile: str) -> Template:
        """``profile`` compiled under ``authority``. Raises AuthorityRefused, ProfileRefused."""
        copy = self._copy
        found = copy.templates.get((authority, profile))
        if found is None:
            issuer = find(authority, copy.authorities)
            self.profile(profile)
            applied = copy.profiles[profile]
            found = compile_template(
                applied.profile, version=applied.version, authority=authority, issuer=issuer.x509, urls=issuer.urls
            )
            copy.templates[authority, profile] = found
        return found

    def issuer_for(self, profile: str, spki: bytes = b"") -> Authority:
        """The authority that signs certificates of ``profile`` for the key ``spki`` (DER; empty: a classical one).

        Of the active ones that serve its class: those of the key's hierarchy, of these those with the kind of key that
        the profile names first, of these the newest. A post-quantum key is certified under a post-quantum signature or
        not at all: under a classical one it would look like more than it is. A classical key goes to the classical
        hierarchy where there is one. Raises ProfileRefused for an unknown profile, AuthorityRefused when nobody serves
        its class.
        """
        copy, wanted = self._copy, is_post_quantum(spki)
        found = copy.issuers.get((profile, wanted))
        if found is None:
            made = _issuer(self.profile(profile), copy.authorities.values(), post_quantum=wanted)
            found = copy.issuers[profile, wanted] = made
        return found

    async def apply_profile(self, document: str, *, actor: str, joined: Unit | None = None) -> AppliedProfile:
        """Make ``document`` (YAML) the governing version of its profile; the same profile again changes nothing.

        Linted in full first, under every authority that may sign it. ``joined`` is committed with it. Raises
        ProfileRefused, LintRefused.
        """
        profile = parse_profile(document)
        await self.refresh()
        present = self._copy.profiles.get(profile.name)
        if present is not None and present.profile.digest == profile.digest:
            if joined is not None:
                await self._database.commit(joined)
            return present
        version = present.version + 1 if present else 1
        for authority in self._copy.authorities.values():
            if _signs(authority, profile):
                lint_profile(
                    compile_template(
                        profile, version=version, authority=authority.slug, issuer=authority.x509, urls=authority.urls
                    ),
                    self._clock.now(),
                )
        now = self._clock.now()
        unit = Unit()
        unit.claim(
            ADD_PROFILE,
            profile.name,
            version,
            profile.digest,
            document,
            now,
            actor,
            refuse=ProfileRefused(PROFILE_CHANGED, f"profile {profile.name} was applied by someone else just now"),
        )
        unit.record(
            Event(
                "profile.applied",
                actor,
                (f"profile:{profile.name}",),
                {"name": profile.name, "version": version, "digest": profile.digest.hex()},
            )
        )
        await self._database.commit(unit if joined is None else unit.absorb(joined))
        await self.refresh()
        return self._copy.profiles[profile.name]


def _signs(authority: Authority, profile: Profile) -> bool:
    """Whether certificates of ``profile`` may come from ``authority`` now. Each certifies its own OCSP responder."""
    if profile.ocsp_nocheck:
        return authority.kind == "issuing" and authority.state != "planned" and authority.key_id is not None
    return authority.issues_for(profile.issuer_class)


def _issuer(profile: Profile, authorities: Iterable[Authority], *, post_quantum: bool) -> Authority:
    able = [one for one in authorities if one.issues_for(profile.issuer_class)]
    if not able:
        raise AuthorityRefused(
            AUTHORITY_MISSING,
            f"no active authority issues for class {profile.issuer_class}, which profile {profile.name} belongs to",
            issuer_class=profile.issuer_class.value,
            profile=profile.name,
        )
    # A classical and a post-quantum hierarchy may stand side by side.
    family = [one for one in able if isinstance(one.public_key, MldsaPublicKey) is post_quantum]
    if post_quantum and not family:
        raise AuthorityRefused(
            AUTHORITY_MISSING,
            f"no active authority with an ML-DSA key issues for class {profile.issuer_class}, so that an ML-DSA key "
            "would be certified by a classical signature",
            issuer_class=profile.issuer_class.value,
            profile=profile.name,
        )
    able = family or able
    kinds = {one.slug: check_key(one.public_key).kind for one in able}
    first = next((kind for kind in profile.keys if kind in kinds.values()), None)
    fitting = [one for one in able if kinds[one.slug] == first] or able
    return max(fitting, key=lambda one: (one.created_at, one.slug))


def add_authority(unit: Unit, authority: Authority, *, actor: str) -> Unit:
    """Add ``authority`` and its ledger event to ``unit``."""
    unit.claim(
        ADD_AUTHORITY,
        authority.slug,
        authority.name,
        authority.kind,
        authority.parent,
        authority.certificate,
        authority.sha256,
        authority.key_id,
        authority.state,
        authority.trial,
        authority.ca_issuers_url,
        authority.ocsp_url,
        authority.crl_url,
        authority.not_after,
        authority.created_at,
        json.dumps(authority.issuer_classes),
        actor,
        refuse=AuthorityRefused(AUTHORITY_EXISTS, f"an authority is named {authority.slug} or has this certificate"),
    )
    return unit.record(
        Event(
            "authority.added",
            actor,
            (f"authority:{authority.slug}",),
            {
                "slug": authority.slug,
                "name": authority.name,
                "kind": authority.kind,
                "parent": authority.parent,
                "sha256": authority.sha256.hex(),
                "state": authority.state,
                "trial": authority.trial,
                "issuer_classes": list(authority.issuer_classes),
            },
        )
    )
