"""Wiring of device attestation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.enroll.acme.attested import Attesting
from troth.enroll.attest.fetching import StatusFetcher
from troth.enroll.attest.model import Rules
from troth.enroll.attest.service import Attestations, own_roots
from troth.kit.attest_settings import DirectoryAttestation
from troth.kit.http import HttpClient
from troth.pki.catalogue import Catalogue
from troth.store.pool import Database


def attestations_of(context: RoleContext, database: Database, catalogue: Catalogue) -> Attestations:
    """Roots, status lists and stored statements, for any process."""
    most_age = timedelta(seconds=context.config.attest.most_age_seconds)
    return Attestations(database, context.clock, own=own_roots(catalogue), most_age=most_age)


def attesting_of(settings: DirectoryAttestation) -> Attesting:
    """What a directory makes of attestations, from its settings."""
    return Attesting(
        formats=frozenset(settings.formats),
        mode=settings.mode,
        modes={**dict.fromkeys(settings.observed, "observe"), **dict.fromkeys(settings.enforced, "enforce")},
        about=settings.about,
        rules=Rules(
            rsa_sha1=settings.rsa_sha1,
            android_software=settings.android_software,
            android_unlocked=settings.android_unlocked,
        ),
    )


def attestation_duties(
    context: RoleContext, database: Database, catalogue: Catalogue
) -> list[tuple[float, Callable[[], Awaitable[object]], str]]:
    """What a worker does for it: seconds between two times, the work, and its name."""
    settings, attestations = context.config.attest, attestations_of(context, database, catalogue)

    async def forget() -> None:
        await attestations.forget(timedelta(seconds=settings.keep_reports_seconds))

    duties: list[tuple[float, Callable[[], Awaitable[object]], str]] = [(3600.0, forget, "reports of attestations")]
    if settings.android_status_url:
        refresh = timedelta(seconds=settings.refresh_seconds)
        fetcher = StatusFetcher(attestations, context.clock, settings.android_status_url, refresh)

        async def fetch() -> None:
            if not await fetcher.due():
                return
            client = HttpClient(context.config.egress)
            try:
                await fetcher.fetch(client)
            finally:
                await client.close()

        duties.append((60.0, fetch, "status list of Android"))
    return duties
