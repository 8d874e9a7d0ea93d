"""Certificate profiles: their versions, what changed between two, and what a certificate of them would look like."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime

from troth.access.model import Principal
from troth.enroll.issuance import Ask, Issuance, operator_request_id, permits
from troth.kit.clock import Clock
from troth.pki.authority_store import AuthorityStore
from troth.pki.catalogue import Catalogue
from troth.pki.errors import PROFILE_UNKNOWN, AuthorityRefused, ProfileRefused
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.preview import Preview, example, preview
from troth.pki.profile import Profile, parse_profile
from troth.pki.template import Template
from troth.store.pool import Database
from troth.trust.errors import TrustError
from troth.trust.model import Kind
from troth.trust.model import Subject as KnownSubject
from troth.trust.subjects.whom import Subjects
from troth.web.books.certificates import link
from troth.web.profile_views import PreviewView, ProfileView


class Profiles:
    """See :class:`troth.web.configuring.ProfileBook`."""

    def __init__(
        self, database: Database, clock: Clock, catalogue: Catalogue, issuance: Issuance, subjects: Subjects
    ) -> None:
        self._store = AuthorityStore(database)
        self._clock = clock
        self._catalogue = catalogue
        self._issuance = issuance
        self._subjects = subjects

    async def list(self) -> Sequence[ProfileView]:
        return [
            _view(name, version, digest, text, at, actor, active=True)
            for name, version, digest, text, at, actor in await self._store.profiles()
        ]

    async def get(self, name: str) -> Sequence[ProfileView]:
        return [
            _view(name, version, digest, text, at, actor, active=place == 0)
            for place, (_, version, digest, text, at, actor) in enumerate(await self._store.profile_history(name))
        ]

    async def diff(self, name: str, before: int | None, after: int | None) -> str:
        versions = {one.version: one for one in await self.get(name)}
        newest = max(versions, default=0)
        new = versions.get(newest if after is None else after)
        old = versions.get((new.version if new else newest) - 1 if before is None else before)
        if new is None or (old is None and before is not None):
            raise ProfileRefused(PROFILE_UNKNOWN, f"there is no such version of profile {name[:80]!r}")
        label = f"{name} version {old.version}" if old else "nothing"
        return _unified(old.text if old else "", new.text, label, f"{name} version {new.version}")

    async def diff_document(self, text: str) -> str:
        profile = parse_profile(text)
        found = await self.get(profile.name)
        label = f"{profile.name} version {found[0].version}" if found else "nothing"
        return _unified(found[0].text if found else "", text, label, f"{profile.name} as sent")

    async def example(self, name: str) -> PreviewView:
        now = self._clock.now()
        try:
            template = self._catalogue.template(self._catalogue.issuer_for(name).slug, name)
            return _shown(example(template, now), template)
        except (ProfileRefused, AuthorityRefused) as refusal:
            return _refused(refusal, name)

    async def preview(self, name: str, subject: str, names: Sequence[tuple[str, str]], by: Principal) -> PreviewView:
        self._catalogue.profile(name)  # an unknown profile is an error, not a preview that says so
        proved = canonical_names(names)
        known = await self._known(subject)
        if not proved and known is None:
            proved = canonical_names([("dns", subject.removeprefix(f"{Kind.WORKLOAD.value}:"))])
        verdict, rendered = await self._issuance.preview(
            Ask(
                request_id=operator_request_id(), profile=name, spki=b"", names=proved, actor=by.actor,
                evidence={
                    "controlled_names": [value for _, value in proved], "methods": ["operator"], "operator": by.name,
                    "possession": True,
                },
                request={"protocol": "api"}, origin="api", subject=known,
            )
        )  # fmt: skip
        whom = link(verdict.subjects[0]) if not verdict.subjects[0].fresh else None
        says = verdict.outcome.value if permits(verdict) else "deny"
        more = {"outcome": says, "reason": verdict.deciding.reason, "subject": whom}
        if isinstance(rendered, ProfileRefused):
            return _refused(rendered, verdict.profile, **more)
        try:
            template = self._catalogue.template(self._catalogue.issuer_for(verdict.profile).slug, verdict.profile)
            return _shown(preview(template, rendered, self._clock.now()), template, **more)
        except (ProfileRefused, AuthorityRefused) as refusal:
            return _refused(refusal, verdict.profile, **more)

    async def _known(self, text: str) -> KnownSubject | None:
        """The subject that is meant; None for a name that would become a workload."""
        try:
            return await self._subjects.find(text)
        except TrustError:
            name = text.removeprefix(f"{Kind.WORKLOAD.value}:")
            if ":" in name or "." not in name:
                raise
            return None


def _shown(found: Preview, template: Template, **more: object) -> PreviewView:
    return PreviewView(
        profile=template.profile.name, authority=template.authority, fields=found.fields,
        findings=found.findings, refusal=None, variable=None,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _refused(refusal: ProfileRefused | AuthorityRefused, profile: str, **more: object) -> PreviewView:
    variable = refusal.facts.get("variable")
    return PreviewView(
        profile=profile, authority=None, fields=(), findings=(), refusal=refusal.detail, code=refusal.code,
        fix=refusal.reason.fix, variable=str(variable) if variable is not None else None,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _unified(old: str, new: str, old_label: str, new_label: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_label, new_label, lineterm="")
    return "\n".join(lines)


def _view(name: str, version: int, digest: bytes, text: str, at: datetime, actor: str, *, active: bool) -> ProfileView:
    profile: Profile | None
    try:
        profile = parse_profile(text)
    except ProfileRefused:
        # Applied by another Troth with other words: its text is still shown.
        profile = None
    return ProfileView(
        name=name, version=version, digest=digest.hex(), applied_at=at, applied_by=actor, active=active, text=text,
        description=profile.description if profile else "",
        issuer_class=profile.issuer_class.value if profile else "",
        extended_key_usage=profile.extended_key_usage if profile else (),
        kinds=tuple(sorted(profile.kinds)) if profile else (),
        lifetime=profile.lifetime.default if profile else "",
        max_lifetime=profile.lifetime.max if profile else "",
        variables=tuple(sorted(profile.variables)) if profile else (),
        templated=profile.templated if profile else False,
        takes_names=bool(profile and profile.names.kinds),
    )  # fmt: skip


def proved_names(texts: Sequence[str]) -> GeneralNames:
    """``kind=value`` texts as names; a text without a kind is a DNS name. Raises NameRefused."""
    pairs = []
    for text in texts:
        kind, found, value = text.partition("=")
        pairs.append((kind, value) if found else ("dns", text))
    return canonical_names(pairs)
