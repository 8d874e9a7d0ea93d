"""Another system's JSON API, asked within bounds: at its pace, with proof, and with each failure called by its name.

One :class:`VendorApi` per connector. What it takes off a vendor's module: the token and asking for a new one when it
is refused, pauses as they are asked for (429), a second try where the other side failed, answers that are cut off or
no JSON, links that lead elsewhere, pages that lead in a circle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from troth.connect.errors import (
    ANSWER,
    CREDENTIALS,
    ELSEWHERE,
    PAGING,
    SCOPE,
    VENDOR_FAILED,
    ConnectorError,
    Throttled,
)
from troth.connect.pacing import Pace, Sleep, asked_pause
from troth.connect.proof import Fetches, Proof
from troth.kit.clock import Clock
from troth.kit.http import Answer

#: A pause longer than this is not sat out within a pull: the pull ends, and the next one begins after it.
_PATIENCE: Final = timedelta(seconds=20)
_TRIES: Final = 3


@dataclass(slots=True)
class Seen:
    """What was noticed of the other side by the way.

    Attributes:
        skew: how far its clock is ahead of ours, by the last answer's ``Date``; None before the first.
        latency: seconds that the last answer took. requests: how many were sent.
    """

    skew: timedelta | None = None
    latency: float = 0.0
    requests: int = 0


class VendorApi:
    """Requests to one system.

    Args:
        base_url: what paths stand behind. Requests to any other host or port are refused.
        pause_headers: where the vendor says how long to wait, lower-case, the first that is there counts.
        seen: where to note what is noticed by the way.
    """

    def __init__(
        self,
        http: Fetches,
        clock: Clock,
        *,
        base_url: str,
        proof: Proof,
        pace: Pace,
        pause_headers: Sequence[str] = ("retry-after",),
        sleep: Sleep = asyncio.sleep,
        seen: Seen | None = None,
    ) -> None:
        self._http = http
        self._clock = clock
        self._base = base_url.rstrip("/") + "/"
        self._proof = proof
        self._pace = pace
        self._pause_headers = tuple(pause_headers)
        self._sleep = sleep
        self.seen = seen or Seen()

    async def get(self, path: str, query: Mapping[str, str] | None = None, *, scope: str = "") -> Any:
        """The JSON behind ``path`` (or a full link of the same host). ``scope``: what it needs, told if it is refused.

        Raises ConnectorError, Throttled, HttpFailed, EgressRefused.
        """
        return json_of(await self.answer("GET", path, query, scope=scope))

    async def post(self, path: str, body: Any, query: Mapping[str, str] | None = None, *, scope: str = "") -> Any:
        """The same with a JSON body."""
        return json_of(await self.answer("POST", path, query, body=body, scope=scope))

    async def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        raw: bytes = b"",
        scope: str = "",
        headers: Mapping[str, str] | None = None,
        good: frozenset[int] = frozenset({200, 201, 202, 204}),
    ) -> Answer:
        """The answer itself, if its status is one of ``good``. Raises as :meth:`get` does.

        ``raw``: a body that is no JSON.
        """
        url = self._url(path, query)
        data = raw if body is None else msgspec.json.encode(body)
        more = {"accept": "application/json", **({"content-type": "application/json"} if data else {}),
                **(headers or {})}  # fmt: skip
        renewed, failed = False, 0
        while True:
            sent = {**more, **await self._proof.headers()}
            await self._pace.take()
            began = self._clock.monotonic()
            self.seen.requests += 1
            answer = await self._http.request(method, url, headers=sent, body=data)
            self._notice(answer, began)
            if answer.status in good:
                return answer
            if answer.status == 401 and not renewed and self._proof.refused():
                renewed = True
                continue
            if answer.status == 429:
                failed += 1
                await self._wait(answer, failed)
                continue
            failed += 1
            if answer.status >= 500 and failed < _TRIES:
                await self._sleep(float(2**failed) / 4)
                continue
            raise self._failure(answer, method, url, scope)

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        url = urljoin(self._base, path if "://" in path else path.lstrip("/"))
        try:
            same = _origin(url) == _origin(self._base)
        except ValueError:
            same = False
        if not same:
            raise ConnectorError(ELSEWHERE, f"its link leads to {urlsplit(url).hostname or 'no host'}"[:200])
        return url + ("&" if "?" in url else "?") + urlencode(query) if query else url

    def _notice(self, answer: Answer, began: float) -> None:
        self.seen.latency = self._clock.monotonic() - began
        try:
            self.seen.skew = parsedate_to_datetime(answer.headers.get("date", "")) - self._clock.now()
        except (ValueError, TypeError, OverflowError):
            pass  # no date, no word about its clock

    async def _wait(self, answer: Answer, failed: int) -> None:
        pause = asked_pause(answer.headers, self._clock.now(), self._pause_headers)
        self._pace.hold(pause.total_seconds())
        if pause > _PATIENCE or failed >= _TRIES:
            raise Throttled(f"for {int(pause.total_seconds())} s", until=self._clock.now() + pause)

    def _failure(self, answer: Answer, method: str, url: str, scope: str) -> ConnectorError:
        where = f"{method} {urlsplit(url).path}: status {answer.status}"
        if answer.status == 401:
            return ConnectorError(CREDENTIALS, where)
        if answer.status == 403:
            return ConnectorError(SCOPE, f"{scope or 'a scope'} is missing; {where}", scope=scope)
        if answer.status >= 500:
            return ConnectorError(VENDOR_FAILED, where)
        return ConnectorError(ANSWER, where, status=answer.status)


class Pages:
    """Guards a walk over pages: it ends, and it does not go in a circle.

    >>> pages = Pages(most=50)
    >>> while pages.turn(link): ...

    ``full`` after the walk says that there is more, and that the next pull must go on from the last link.
    """

    def __init__(self, *, most: int = 100) -> None:
        self._left = most
        self._seen: set[str] = set()

    @property
    def full(self) -> bool:
        """No page more in this pull."""
        return self._left <= 0

    def turn(self, mark: str | None) -> bool:
        """Whether to read the page behind ``mark``; None: there is none. Raises ConnectorError if it was read."""
        if mark is None or self.full:
            return False
        if mark in self._seen:
            raise ConnectorError(PAGING, f"the page {mark[-80:]!r} came twice")
        self._seen.add(mark)
        self._left -= 1
        return True


def moment(text: str) -> datetime:
    """An RFC 3339 time with its offset. Raises ConnectorError: a time that cannot be read orders nothing."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            found.astimezone(UTC)  # what UTC's calendar does not have, no database holds
    except (ValueError, TypeError, OverflowError) as error:
        raise ConnectorError(ANSWER, f"{str(text)[:40]!r} is no time") from error
    if found.tzinfo is None:
        raise ConnectorError(ANSWER, f"{text[:40]!r} has no offset")
    return found


def shaped(value: Any, kind: Any) -> Any:
    """``value`` as a ``kind`` (msgspec). Raises ConnectorError naming the field; unknown fields are passed over."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConnectorError(ANSWER, str(error)[:200]) from error


def json_of(answer: Answer) -> Any:
    """The JSON of an answer; ``{}`` for an empty one. Raises ConnectorError."""
    try:
        return msgspec.json.decode(answer.body) if answer.body else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConnectorError(ANSWER, "cut off, or no JSON") from error


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port
