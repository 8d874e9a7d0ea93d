"""Certificate profiles over the API."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import get, post
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from troth.access.roles import Permission
from troth.web.asking import apply
from troth.web.books.profiles import proved_names
from troth.web.errors import MALFORMED, NotFound, WebError
from troth.web.guard import asker, needs
from troth.web.parameters import Version
from troth.web.profile_views import PreviewView, ProfileView
from troth.web.render import Req, services_of
from troth.web.views import Applied

_TAGS = ["Profiles"]


class Difference(Struct, frozen=True):
    """A unified diff; empty when nothing differs."""

    diff: str


async def _text(request: Req) -> str:
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise WebError(MALFORMED, "the body is not UTF-8") from error


@get("/profiles", opt=needs(Permission.PROFILE_READ), operation_id="listProfiles", tags=_TAGS)
async def list_profiles(request: Req) -> Sequence[ProfileView]:
    """The governing version of every profile."""
    return await services_of(request).profiles.list()


@post("/profiles", opt=needs(Permission.PROFILE_WRITE), operation_id="applyProfile", tags=_TAGS, status_code=200)
async def apply_profile(request: Req, dry_run: FromQuery[bool] = False) -> Applied:
    """Apply one profile, sent as YAML in the body. It is compiled and linted in full first."""
    text = await _text(request)
    await services_of(request).profiles.diff_document(text)
    if dry_run:
        return await services_of(request).configuration.apply(text, asker(request), dry_run=True)
    return await apply(request, text, prune=False)


@post("/profiles/diff", opt=needs(Permission.PROFILE_READ), operation_id="diffProfileDocument", tags=_TAGS,
      status_code=200)  # fmt: skip
async def diff_document(request: Req) -> Difference:
    """What applying a profile (YAML in the body) would change. Nothing is applied."""
    return Difference(await services_of(request).profiles.diff_document(await _text(request)))


async def versions_of(request: Req, name: str) -> Sequence[ProfileView]:
    """All versions of a profile. Raises NotFound."""
    found = await services_of(request).profiles.get(name[:80])
    if not found:
        raise NotFound(f"there is no profile {name[:80]!r}")
    return found


@get("/profiles/{name:str}", opt=needs(Permission.PROFILE_READ), operation_id="getProfile", tags=_TAGS)
async def get_profile(request: Req, name: FromPath[str]) -> Sequence[ProfileView]:
    """All versions of one profile, latest first."""
    return await versions_of(request, name)


@get("/profiles/{name:str}/diff", opt=needs(Permission.PROFILE_READ), operation_id="diffProfile", tags=_TAGS)
async def diff_profile(request: Req, name: FromPath[str], before: Version = None, after: Version = None) -> Difference:
    """What changed between two versions; by default between the latest and the one before it."""
    await versions_of(request, name)
    return Difference(await services_of(request).profiles.diff(name, before, after))


@get("/profiles/{name:str}/preview", opt=needs(Permission.PROFILE_READ), operation_id="previewProfile", tags=_TAGS)
async def preview_profile(
    request: Req, name: FromPath[str], subject: FromQuery[str], names: FromQuery[str] = ""
) -> PreviewView:
    """What a certificate of this profile would say of a subject, and what policy would say. Nothing is issued.

    ``names``: names that the door would have proved, as ``kind=value`` or DNS names, with spaces between them.
    """
    await versions_of(request, name)
    wanted = proved_names(names[:4000].split())
    return await services_of(request).profiles.preview(name, subject[:300], wanted, asker(request))


HANDLERS = (list_profiles, apply_profile, diff_document, get_profile, diff_profile, preview_profile)
