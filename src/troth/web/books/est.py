"""EST over the rooms below: its labels, where an enrolment is good, and what it has brought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from troth.enroll.est.model import Label
from troth.enroll.est.store import EstStore, Given
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.web.enrolment_views import EstCertificateRow, EstLabelView
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page


class EstBook:
    """See the module.

    Args:
        labels: by name; none where EST is off.
        default: that of requests without a label.
        base: the public URL of the https listener.
    """

    def __init__(self, database: Database, labels: Mapping[str, Label], default: str, base: str) -> None:
        self._store = EstStore(database)
        self._labels = labels
        self._default = default
        self._base = base

    @property
    def directories(self) -> Mapping[str, Sequence[str]]:
        """Labels as enrolments name them, and the profile of each."""
        return {one.directory: (one.profile,) for one in self._labels.values()}

    def labels(self) -> list[EstLabelView]:
        """All of them."""
        return [
            EstLabelView(
                name=one.name,
                url=self._url(one),
                default=one.name == self._default,
                profile=one.profile,
                bootstrap=one.bootstrap,
                from_profiles=tuple(sorted(one.from_profiles)),
                adopt=one.adopt,
                server_keygen=one.server_keygen,
                channel_binding=one.channel_binding,
            )
            for one in self._labels.values()
        ]

    def urls(self, directories: Iterable[str], profiles: Iterable[str]) -> tuple[str, ...]:
        """Where an enrolment for these directories and profiles (none: all) is good."""
        among, allowed = set(directories), set(profiles)
        good = [one for one in self._labels.values() if one.directory in among]
        return tuple(self._url(one) for one in good if not allowed or one.profile in allowed)

    async def certificates(self, enrolment: UUID, *, cursor: str = "", limit: int = 50) -> Page[EstCertificateRow]:
        """What an enrolment has brought, the newest first."""
        before = parse_id(cursor) if cursor else None
        if cursor and before is None:
            raise WebError(MALFORMED, "this cursor is none of ours")
        found = await self._store.of_enrolment(enrolment, before=before, limit=limit + 1)
        rows = [_row(one) for one in found[:limit]]
        return Page(rows, str(rows[-1].id) if len(found) > limit else None)

    def _url(self, label: Label) -> str:
        return f"{self._base}/.well-known/est/{label.name}"


def _row(one: Given) -> EstCertificateRow:
    return EstCertificateRow(
        id=one.certificate_id,
        label=one.label,
        names=tuple(value for _, value in one.names),
        status=one.status,
        issued_at=one.issued_at,
        not_after=one.not_after,
    )
