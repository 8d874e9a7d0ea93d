"""Pages of certificate profiles."""

from __future__ import annotations

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from troth.access.roles import Permission
from troth.kit.errors import TrothError
from troth.web.api.profiles import versions_of
from troth.web.books.profiles import proved_names
from troth.web.errors import NotFound
from troth.web.guard import asker, needs
from troth.web.parameters import Version
from troth.web.render import Req, page, services_of


@get("/profiles", opt=needs(Permission.PROFILE_READ), include_in_schema=False)
async def profiles(request: Req) -> Response[str]:
    """The profiles in force."""
    found = await services_of(request).profiles.list()
    return await page(request, "profiles.html", area="profiles", profiles=found)


@get("/profiles/{name:str}", opt=needs(Permission.PROFILE_READ), include_in_schema=False)
async def profile(
    request: Req,
    name: FromPath[str],
    version: Version = None,
    subject: FromQuery[str] = "",
    names: FromQuery[str] = "",
) -> Response[str]:
    """One profile in one of its versions; what changed; an example, or a preview for a subject."""
    versions = await versions_of(request, name)
    shown = next((one for one in versions if version in (None, one.version)), None)
    if shown is None:
        raise NotFound("there is no such version of this profile")
    book = services_of(request).profiles
    preview, problem = None, None
    if subject.strip():
        try:
            wanted = proved_names(names[:4000].split())
            preview = await book.preview(name, subject.strip()[:300], wanted, asker(request))
        except TrothError as error:
            problem = error
    return await page(
        request, "profile.html", area="profiles", versions=versions, shown=shown,
        diff=await book.diff(name, None, shown.version) if shown.version > 1 else "",
        example=await book.example(name), preview=preview, problem=problem, subject=subject, names=names,
    )  # fmt: skip


HANDLERS = (profiles, profile)
