"""Ports of what is applied as documents; see ``services``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from troth.access.model import Principal
from troth.web.profile_views import PreviewView, ProfileView
from troth.web.views import Applied, FeedView, PolicyView


class Configuration(Protocol):
    """Directories, policies and feeds as documents."""

    async def apply(
        self,
        documents: str,
        by: Principal,
        *,
        dry_run: bool,
        prune: bool = False,
        forced: str | None = None,
        accept_loss: bool = False,
    ) -> Applied:
        """Apply YAML documents all together or not at all. Raises TrothError, naming document and line.

        ``forced``: why policies are applied though their own examples fail; ``accept_loss``: however many lose by them.
        Policies need ``policy.write`` and feeds ``feed.write`` besides the route's own permission.
        """
        ...

    async def policies(self) -> Sequence[PolicyView]:
        """The active version of each policy."""
        ...

    async def policy(self, name: str) -> Sequence[PolicyView]:
        """All versions of one, latest first, with text; empty if there is none of this name."""
        ...

    async def feeds(self) -> Sequence[FeedView]:
        """All feeds by name."""
        ...

    async def change_feed_secret(self, name: str, by: Principal, *, leaked: bool) -> str:
        """A new webhook secret, told this once; the former one is good for a day unless it ``leaked``."""
        ...

    async def suspend_feed(self, name: str, by: Principal, *, suspended: bool, reason: str) -> None:
        """Stage whatever the feed asks for from now on, or let it act again. Raises TrothError."""
        ...


class ProfileBook(Protocol):
    """Certificate profiles."""

    async def list(self) -> Sequence[ProfileView]:
        """The governing version of each, by name."""
        ...

    async def get(self, name: str) -> Sequence[ProfileView]:
        """All versions of one, latest first; empty if there is none of this name."""
        ...

    async def diff(self, name: str, before: int | None, after: int | None) -> str:
        """A unified diff of two versions, by default of the latest and the one before. Raises TrothError."""
        ...

    async def diff_document(self, text: str) -> str:
        """What applying ``text`` would change. Raises TrothError for a document that is no profile."""
        ...

    async def example(self, name: str) -> PreviewView:
        """What its certificates look like, with invented facts."""
        ...

    async def preview(self, name: str, subject: str, names: Sequence[tuple[str, str]], by: Principal) -> PreviewView:
        """What one would say of a subject now. Raises TrothError for an unknown profile or subject."""
        ...
