"""Wiring of the EST door, and of who may come through the handshake to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.assembly.enrolling import Enrolling
from troth.assembly.errors import EST_DEFAULT, AssemblyError
from troth.assembly.mint import Mint
from troth.audit.lull import Lull
from troth.enroll.est.callers import Callers
from troth.enroll.est.desk import EstDesk
from troth.enroll.est.model import Label
from troth.enroll.est.routes import EstDoor
from troth.enroll.est.tally import Tally
from troth.enroll.issuance import Issuance
from troth.kit.est_settings import EstSettings
from troth.kit.log import get_logger
from troth.kit.rhythm import Rhythm
from troth.pki.anchor_store import AnchorStore
from troth.pki.catalogue import Catalogue
from troth.store.errors import StoreError
from troth.store.pool import Database
from troth.web.tls import ServerTls

log = get_logger("assembly")

_LOOK_SECONDS = 5.0
#: While nothing happens by which there could be more.
_QUIET = Rhythm("est.quiet", 60.0, "web")


def labels_of(settings: EstSettings) -> Mapping[str, Label]:
    """The labels, by name; none where EST is off. Raises AssemblyError where the default names none."""
    if not settings.enabled:
        return {}
    if settings.default not in settings.labels:
        there = ", ".join(settings.labels) or "none"
        raise AssemblyError(EST_DEFAULT, f"est.default is {settings.default!r}; the labels are: {there}")
    return {
        name: Label(
            name,
            one.profile,
            bootstrap=one.bootstrap,
            from_profiles=frozenset(one.from_profiles),
            adopt=one.adopt,
            server_keygen=one.server_keygen,
            channel_binding=one.channel_binding,
        )
        for name, one in settings.labels.items()
    }


def est_door(
    context: RoleContext, database: Database, mint: Mint, issuance: Issuance, enrolling: Enrolling, tally: Tally
) -> EstDoor | None:
    """The door, for a web process; None where EST is off."""
    settings, clock = context.config.est, context.clock
    labels = labels_of(settings)
    if not labels:
        return None
    desk = EstDesk(
        database,
        clock,
        issuance,
        mint.catalogue,
        enrolling.enrolments,
        enrolling.meters,
        repeat=timedelta(seconds=settings.repeat_seconds),
        retry_seconds=settings.retry_seconds,
    )
    callers = Callers(database, clock, mint.catalogue, enrolling.enrolments)
    return EstDoor(
        labels, settings.default, callers, desk, mint.catalogue, tally, clock, per_minute=settings.requests_per_minute
    )


class Admitting:
    """Whose client certificates pass the handshake: our own authorities', and those of the trust anchors.

    What a certificate is worth is judged behind it, by the records and anchors of that moment.
    """

    def __init__(self, tls: ServerTls, catalogue: Catalogue, database: Database) -> None:
        self._tls = tls
        self._catalogue = catalogue
        self._database = database
        self._anchors = AnchorStore(database)

    async def look(self) -> None:
        """Let in who is new."""
        self._tls.take(one.certificate for one in self._catalogue.authorities.values())
        self._tls.take(one.certificate for one in await self._anchors.all())

    async def run(self) -> None:
        """Look until cancelled."""
        never = asyncio.Event()
        async with Lull(_QUIET, self._database).noticed(never) as lull:
            while True:
                await lull.rest(_LOOK_SECONDS, never)
                try:
                    await self.look()
                except (StoreError, ssl.SSLError) as error:
                    log.warning("est.authorities_postponed", error=str(error))
