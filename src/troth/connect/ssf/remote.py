"""A transmitter's side of a stream, over HTTP: metadata, stream management (SSF 1.0, 8.1), polling (RFC 8936).

One request a method, strict about the answers; what a transmitter may leave out is told as such. A 401 has the access
token fetched anew once (``connect.proof``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from troth.connect.errors import CREDENTIALS, ConnectorError
from troth.connect.proof import Fetches, Proof
from troth.connect.ssf.errors import (
    TRANSMITTER_ANSWER,
    TRANSMITTER_BUSY,
    TRANSMITTER_CREDENTIAL,
    TRANSMITTER_REFUSED,
    TRANSMITTER_SCOPE,
    TransmitterFailed,
)
from troth.connect.ssf.model import Configuration, Metadata, StreamDefinition, answer, text, well_known
from troth.kit.http import Answer

_ACCEPT: Final = {"accept": "application/json"}
_JSON: Final = {"content-type": "application/json", **_ACCEPT}
_MAX_SETS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought: tokens by jti, as the transmitter calls them."""

    sets: Mapping[str, str]
    more: bool


def read_poll(data: bytes) -> Polled:
    """The answer to a poll (RFC 8936, 2.5). Raises TransmitterFailed."""
    document = _object(data)
    sets = document.get("sets", {})
    if not isinstance(sets, dict) or len(sets) > _MAX_SETS:
        raise answer(f"sets is no object of at most {_MAX_SETS}")
    if not all(isinstance(token, str) for token in sets.values()):
        raise answer("sets holds something else than tokens")
    return Polled(sets, document.get("moreAvailable") is True)


class Transmitter:
    """One transmitter, spoken with as one stream's definition says.

    Args:
        proof: how we prove who asks.
    """

    def __init__(self, http: Fetches, definition: StreamDefinition, proof: Proof) -> None:
        self._http = http
        self._definition = definition
        self._proof = proof

    async def metadata(self) -> Metadata:
        """Its metadata, which must speak for the issuer that was asked (SSF 1.0, 7.2.4). Raises TransmitterFailed."""
        definition = self._definition
        places = [well_known(definition.issuer), well_known(definition.issuer, "risc-configuration")]
        if definition.metadata_url:
            places = [definition.metadata_url]
        status = 0
        for place in places:
            found = await self._http.request("GET", place, headers=_ACCEPT)
            if found.status == 200:
                metadata = Metadata.read(_object(found.body))
                if metadata.issuer != definition.issuer:
                    raise answer(f"the metadata are those of {metadata.issuer[:200]!r}")
                return metadata
            status = status or found.status
        raise TransmitterFailed(TRANSMITTER_REFUSED, f"{places[0]}: status {status}")

    async def create(self, metadata: Metadata, wanted: Mapping[str, Any]) -> Configuration:
        """Make the stream, or take up the one that is there if no other is allowed. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.configuration_endpoint, "configuration_endpoint")
        made = await self._send("POST", endpoint, wanted)
        if made.status != 409:
            return self._configuration(_checked(made, 201, 200))
        for one in await self.list_streams(metadata):
            if one.method == wanted["delivery"]["method"]:
                return await self.update(metadata, one.stream_id, wanted)
        raise TransmitterFailed(
            TRANSMITTER_REFUSED, "it allows one stream, and there is one of another delivery method"
        )

    async def list_streams(self, metadata: Metadata) -> Sequence[Configuration]:
        """The streams that it has for us. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.configuration_endpoint, "configuration_endpoint")
        found = _decoded(_checked(await self._send("GET", endpoint), 200))
        listed = found if isinstance(found, list) else [found]
        return [self._told(one) for one in listed[:100]]

    async def read(self, metadata: Metadata, stream_id: str) -> Configuration:
        """The stream's configuration. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.configuration_endpoint, "configuration_endpoint")
        return self._configuration(_checked(await self._send("GET", _with(endpoint, stream_id)), 200))

    async def update(
        self, metadata: Metadata, stream_id: str, wanted: Mapping[str, Any], *, replace: bool = False
    ) -> Configuration:
        """Change the stream (PATCH), or put ``wanted`` in the place of it all (PUT). Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.configuration_endpoint, "configuration_endpoint")
        method = "PUT" if replace else "PATCH"
        changed = await self._send(method, endpoint, {"stream_id": stream_id, **wanted})
        if changed.status == 202:
            raise TransmitterFailed(TRANSMITTER_BUSY, "it has accepted the change and not made it yet")
        return self._configuration(_checked(changed, 200))

    async def delete(self, metadata: Metadata, stream_id: str) -> None:
        """End the stream; one that is gone already is no failure. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.configuration_endpoint, "configuration_endpoint")
        _checked(await self._send("DELETE", _with(endpoint, stream_id)), 204, 200, 404)

    async def status(self, metadata: Metadata, stream_id: str) -> tuple[str, str]:
        """(status, reason). Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.status_endpoint, "status_endpoint")
        return _status(_checked(await self._send("GET", _with(endpoint, stream_id)), 200))

    async def set_status(self, metadata: Metadata, stream_id: str, status: str, reason: str = "") -> tuple[str, str]:
        """Ask for another status; what it is then. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.status_endpoint, "status_endpoint")
        asked = {"stream_id": stream_id, "status": status} | ({"reason": reason} if reason else {})
        changed = await self._send("POST", endpoint, asked)
        if changed.status == 202:
            raise TransmitterFailed(TRANSMITTER_BUSY, "it has accepted the change and not made it yet")
        return _status(_checked(changed, 200))

    async def verify(self, metadata: Metadata, stream_id: str, state: str) -> None:
        """Ask for a verification event that carries ``state``. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.verification_endpoint, "verification_endpoint")
        _checked(await self._send("POST", endpoint, {"stream_id": stream_id, "state": state}), 204, 200, 202)

    async def add_subject(self, metadata: Metadata, stream_id: str, subject: Mapping[str, Any], verified: bool) -> None:
        """Ask for events about ``subject``. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.add_subject_endpoint, "add_subject_endpoint")
        asked = {"stream_id": stream_id, "subject": subject, "verified": verified}
        _checked(await self._send("POST", endpoint, asked), 200, 204)

    async def remove_subject(self, metadata: Metadata, stream_id: str, subject: Mapping[str, Any]) -> None:
        """Ask for no more events about ``subject``. Raises TransmitterFailed."""
        endpoint = _endpoint(metadata.remove_subject_endpoint, "remove_subject_endpoint")
        _checked(await self._send("POST", endpoint, {"stream_id": stream_id, "subject": subject}), 204, 200)

    async def poll(
        self, endpoint: str, *, ack: Sequence[str], errors: Mapping[str, Mapping[str, str]], most: int, wait: bool,
    ) -> Polled:  # fmt: skip
        """Fetch tokens, and acknowledge earlier ones (RFC 8936, 2.2). ``most`` of 0 only acknowledges.

        Raises TransmitterFailed; HttpFailed (``http.timeout``) may just mean that nothing came in time.
        """
        asked: dict[str, Any] = {"maxEvents": most, "returnImmediately": not wait}
        if ack:
            asked["ack"] = list(ack)
        if errors:
            asked["setErrs"] = errors
        return read_poll(_checked(await self._send("POST", endpoint, asked), 200).body)

    # --- requests --------------------------------------------------------------------------------------------------

    async def _send(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Answer:
        data = b"" if body is None else msgspec.json.encode(body)
        found = await self._send_once(method, url, data)
        if found.status == 401 and self._proof.refused():
            found = await self._send_once(method, url, data)
        return found

    async def _send_once(self, method: str, url: str, data: bytes) -> Answer:
        headers = {**(_JSON if data else _ACCEPT), **await self._proved()}
        return await self._http.request(method, url, headers=headers, body=data)

    async def _proved(self) -> Mapping[str, str]:
        try:
            return await self._proof.headers()
        except ConnectorError as error:
            if error.reason is not CREDENTIALS:
                raise
            # RFC 6749, 5.2: the client is known and may not have what it asked for.
            reason = TRANSMITTER_SCOPE if "invalid_scope" in error.detail else TRANSMITTER_CREDENTIAL
            raise TransmitterFailed(reason, error.detail) from error

    def _configuration(self, found: Answer) -> Configuration:
        return self._told(_decoded(found))

    def _told(self, document: Any) -> Configuration:
        """SSF 1.0, 8.1.1.1: the answer's ``iss`` must be the issuer of the metadata."""
        configuration = Configuration.read(document)
        if configuration.issuer != self._definition.issuer:
            raise answer(f"the stream's iss is {configuration.issuer[:200]!r}")
        return configuration


def _endpoint(url: str, name: str) -> str:
    if not url:
        raise answer(f"the transmitter offers no {name}")
    return url


def _with(endpoint: str, stream_id: str) -> str:
    return f"{endpoint}{'&' if '?' in endpoint else '?'}stream_id={quote(stream_id, safe='')}"


def _checked(found: Answer, *good: int) -> Answer:
    """``found`` if its status is one of ``good``. Raises TransmitterFailed by what the status means (SSF 1.0, 8.1)."""
    if found.status in good:
        return found
    reason = {401: TRANSMITTER_CREDENTIAL, 403: TRANSMITTER_SCOPE, 429: TRANSMITTER_BUSY, 503: TRANSMITTER_BUSY}.get(
        found.status, TRANSMITTER_REFUSED
    )
    raise TransmitterFailed(reason, f"status {found.status} {_words(found.body)}".strip(), status=found.status)


def _words(body: bytes) -> str:
    """What an error answer says, for people: short, printable."""
    said = body[:300].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in said)


def _status(found: Answer) -> tuple[str, str]:
    document = _object(found.body)
    status = text(document, "status")
    if status not in ("enabled", "paused", "disabled"):
        raise answer(f"status is {status[:40]!r}")
    return status, text(document, "reason", required=False)


def _object(data: bytes) -> Mapping[str, Any]:
    found = _json(data)
    if not isinstance(found, dict):
        raise TransmitterFailed(TRANSMITTER_ANSWER, "the answer is no JSON object")
    return found


def _decoded(found: Answer) -> Any:
    return _json(found.body)


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TransmitterFailed(TRANSMITTER_ANSWER, "the answer is no JSON") from error
