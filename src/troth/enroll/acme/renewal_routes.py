"""Renewal information over HTTP: a plain GET, since it is for everybody and may be cached (RFC 9773, 4.1)."""

from __future__ import annotations

from typing import Any

import msgspec

from troth.enroll.acme.directories import Directory
from troth.enroll.acme.door import CORS, JSON, Envelope
from troth.enroll.acme.renewal import Renewals
from troth.enroll.acme.urls import Urls
from troth.enroll.acme.views import rfc3339
from troth.kit.lane import Request, Response, Route

PATH = "renewal-info"


class RenewalRoutes:
    """renewalInfo."""

    def __init__(self, envelope: Envelope, renewals: Renewals) -> None:
        self._envelope = envelope
        self._renewals = renewals

    def routes(self) -> list[Route]:
        """Its route."""
        return self._envelope.get(f"{PATH}/{{}}", self._info)

    async def _info(self, _request: Request, _urls: Urls, _directory: Directory, params: tuple[str, ...]) -> Response:
        told = await self._renewals.info(params[0])
        value: dict[str, Any] = {"suggestedWindow": {"start": rfc3339(told.start), "end": rfc3339(told.end)}}
        if told.explanation_url:
            value["explanationURL"] = told.explanation_url
        retry = (b"retry-after", str(told.retry_after).encode())
        return Response(200, msgspec.json.encode(value), (JSON, retry, *CORS))
