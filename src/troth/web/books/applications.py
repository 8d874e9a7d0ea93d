"""Applications that ask whether to let somebody in, as the faces know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from troth.access.model import Principal
from troth.connect.authz.applications import Applications, Wanted
from troth.connect.authz.store import Application, Counted
from troth.web.application_views import ApplicationView, NewApplication


class ApplicationBook:
    """Lists, registers, takes off."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    async def list(self) -> Sequence[ApplicationView]:
        """All, by name."""
        return [_view(one, counts) for one, counts in await self._applications.list()]

    async def add(self, wanted: Wanted, by: Principal) -> NewApplication:
        """Register one. Raises TrothError."""
        token, made = await self._applications.add(wanted, actor=by.actor)
        return NewApplication(token=token, application=_view(made, {}))

    async def change_token(self, name: str, by: Principal, *, leaked: bool) -> str:
        """A new token, shown this once. Raises TrothError."""
        return await self._applications.change_token(name, leaked=leaked, actor=by.actor)

    async def remove(self, name: str, by: Principal) -> None:
        """Answer it no more. Raises TrothError."""
        await self._applications.remove(name, actor=by.actor)


def _view(one: Application, counts: Mapping[str, Counted]) -> ApplicationView:
    permitted, denied = counts.get("permit"), counts.get("deny")
    return ApplicationView(
        id=one.id,
        name=one.name,
        profile=one.profile,
        profiles=one.profiles,
        least=one.least,
        per_second=one.per_second,
        certificate_sha256=one.certificate_sha256.hex() if one.certificate_sha256 else None,
        created_at=one.created_at,
        created_by=one.actor,
        permitted=permitted.number if permitted else 0,
        denied=denied.number if denied else 0,
        last_at=max((each.last_at for each in counts.values()), default=None),
    )
