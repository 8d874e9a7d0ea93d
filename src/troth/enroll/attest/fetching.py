"""The worker's errand: Android's status list, through the one guarded client, before the one we have grows old."""

from __future__ import annotations

from datetime import timedelta

from troth.enroll.attest.errors import STATUS_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import ANDROID_KEY
from troth.enroll.attest.service import Attestations
from troth.kit.clock import Clock
from troth.kit.http import HttpClient
from troth.kit.log import get_logger

log = get_logger("attest")


class StatusFetcher:
    """Fetches when ``refresh`` has passed since the last time; several workers at once do no harm."""

    def __init__(self, attestations: Attestations, clock: Clock, url: str, refresh: timedelta) -> None:
        self._attestations = attestations
        self._clock = clock
        self._url = url
        self._refresh = refresh

    async def due(self) -> bool:
        """Whether it is time."""
        head = await self._attestations.store.status_head(ANDROID_KEY)
        return head is None or self._clock.now() - head[1] >= self._refresh

    async def fetch(self, client: HttpClient) -> None:
        """Fetch it. Raises TrothError: the old list stays, and counts until it is too old."""
        began = self._clock.now()
        # Caches on the way may keep it for days: the maker's own advice is to ask past them.
        answer = await client.request("GET", self._url, headers={"cache-control": "no-cache"})
        if answer.status != 200:
            raise AttestationRefused(STATUS_UNREADABLE, f"{self._url} answered {answer.status}")
        listed = await self._attestations.put_statuses(
            answer.body, source=self._url, actor="system:worker", fetched_at=began
        )
        log.info("attest.status_list", entries=listed)
