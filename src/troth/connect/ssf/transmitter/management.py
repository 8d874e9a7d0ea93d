"""The stream API (SSF 1.0, 7 and 8.1): metadata, keys, streams, status, subjects, verification.

Deny by default: a receiver that a person has granted nothing gets no access token; it makes at most as many streams as
it may, hears the types that it was granted, and has pushed to hosts that were named for it alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from troth.audit.event import Event
from troth.connect.ssf.errors import SetRefused
from troth.connect.ssf.model import POLL, PUSH
from troth.connect.ssf.subjects import matches, parse_subject
from troth.connect.ssf.transmitter import queue_store, store
from troth.connect.ssf.transmitter.access import MANAGE, READ, ReceiverAccess
from troth.connect.ssf.transmitter.definitions import may_push_to
from troth.connect.ssf.transmitter.errors import (
    NOT_GRANTED,
    OUT_STREAM_UNKNOWN,
    REQUEST_INVALID,
    SCOPE_MISSING,
    STREAM_EXISTS,
    STREAM_HELD,
    TOO_OFTEN,
    UNAUTHORIZED,
    ReceiverRefused,
    refused,
)
from troth.connect.ssf.transmitter.keys import TransmitterKeyring
from troth.connect.ssf.transmitter.model import MIN_VERIFICATION, TOKENS_CHANNEL, OutStream, Receiver, plain
from troth.connect.ssf.transmitter.requests import (
    JSON,
    MAX_TEXT,
    answer,
    body_of,
    is_stream_id,
    is_text,
    refusal,
    stream_named,
    text_of,
    told_status,
)
from troth.connect.ssf.transmitter.sending import Sender
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.kit.lane import Handler, Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.sealing import SecretBox
from troth.store.pool import Database
from troth.store.unit import Reader, Unit

log = get_logger("connect")

_CACHED: Final = ((b"content-type", b"application/json"), (b"cache-control", b"public, max-age=300"))
_MAX_REMOVED = 1_000
_MAX_SUBJECT = 2_048


class ManagementDoor:
    """The doors for receivers, but for polling.

    Args:
        base: our public address, without a slash at its end; it is the issuer as well.
    """

    def __init__(
        self, database: Database, clock: Clock, access: ReceiverAccess, keys: TransmitterKeyring, sender: Sender,
        box: SecretBox, base: str,
    ) -> None:  # fmt: skip
        self._database = database
        self._clock = clock
        self._access = access
        self._keys = keys
        self._sender = sender
        self._box = box
        self._base = base

    def routes(self) -> Sequence[Route]:
        """What to put on the https lane."""
        path = urlsplit(self._base).path
        return (
            Route(f"/.well-known/ssf-configuration{path}", {"GET": self._safe(self.metadata)}, permission="public"),
            Route("/ssf/jwks.json", {"GET": self._safe(self.jwks)}, permission="public"),
            Route("/ssf/token", {"POST": self._safe(self.token)}, permission="public", max_body=4_096),
            Route("/ssf/stream", {
                "POST": self._safe(self.create), "GET": self._safe(self.read), "PATCH": self._safe(self.update),
                "PUT": self._safe(self.replace), "DELETE": self._safe(self.delete),
            }, permission="public", max_body=32_768),
            Route("/ssf/status", {"GET": self._safe(self.status), "POST": self._safe(self.set_status)},
                  permission="public", max_body=4_096),
            Route("/ssf/subjects:add", {"POST": self._safe(self.add)}, permission="public", max_body=16_384),
            Route("/ssf/subjects:remove", {"POST": self._safe(self.remove)}, permission="public", max_body=16_384),
            Route("/ssf/verify", {"POST": self._safe(self.verify)}, permission="public", max_body=4_096),
        )  # fmt: skip

    def _safe(self, handler: Handler) -> Handler:
        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except (ReceiverRefused, SetRefused) as error:
                return refusal(request, error)

        return answered

    # --- what anybody may ask ----------------------------------------------------------------------------------------

    async def metadata(self, _request: Request) -> Response:
        """SSF 1.0, 7.1."""
        base = self._base
        return answer(200, {
            "spec_version": "1_0", "issuer": base, "jwks_uri": f"{base}/ssf/jwks.json",
            "delivery_methods_supported": [PUSH, POLL], "configuration_endpoint": f"{base}/ssf/stream",
            "status_endpoint": f"{base}/ssf/status", "add_subject_endpoint": f"{base}/ssf/subjects:add",
            "remove_subject_endpoint": f"{base}/ssf/subjects:remove", "verification_endpoint": f"{base}/ssf/verify",
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}], "default_subjects": "ALL",
        }, _CACHED)  # fmt: skip

    async def jwks(self, _request: Request) -> Response:
        """RFC 7517."""
        return answer(200, await self._keys.jwks(), _CACHED)

    async def token(self, request: Request) -> Response:
        """RFC 6749, 4.4 and 5."""
        try:
            made = await self._access.grant(request)
        except ReceiverRefused as error:
            word = "invalid_scope" if error.reason is SCOPE_MISSING else "invalid_client"
            headers = (*JSON, (b"www-authenticate", b'Basic realm="troth"'))
            return answer(400 if error.reason is SCOPE_MISSING else 401, {"error": word}, headers)
        told = {"access_token": made.token, "token_type": "Bearer", "expires_in": made.seconds, "scope": made.scope}
        return answer(200, told)

    # --- streams (8.1.1) ---------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """8.1.1.1."""
        receiver = await self._access.prove(request, MANAGE)
        wanted, header = self._wanted(receiver, body_of(request), None)
        unit, made = self._locked(receiver), new_id().hex

        async def room(reader: Any, _unit: Unit) -> None:
            if len(await store.streams(reader, receiver.name)) >= receiver.definition.streams:
                raise refused(STREAM_EXISTS)

        unit.then(room)
        store.make_stream(unit, made, receiver.name, wanted, header, self._clock.now())
        unit.record(_event("ssf.out_stream_made", receiver, made, method=wanted["method"]))
        await self._database.commit(unit)
        return answer(201, self._told(receiver, await self._stream(receiver, made)))

    async def read(self, request: Request) -> Response:
        """8.1.1.2: one stream, or without its id the list of all."""
        receiver = await self._access.prove(request, READ)
        wanted = stream_named(request)
        if wanted is None:
            found = await store.streams(self._database, receiver.name)
            return answer(200, [self._told(receiver, one) for one in found])
        stream = await self._touched(receiver, wanted)
        return answer(200, self._told(receiver, stream))

    async def update(self, request: Request) -> Response:
        """8.1.1.3: what is named is changed."""
        return await self._change(request, replace=False)

    async def replace(self, request: Request) -> Response:
        """8.1.1.4: what is not named is deleted."""
        return await self._change(request, replace=True)

    async def _change(self, request: Request, *, replace: bool) -> Response:
        receiver, body = await self._access.prove(request, MANAGE), body_of(request)
        stream = await self._touched(receiver, text_of(body, "stream_id"))
        for name, ours in self._told(receiver, stream).items():
            theirs = body.get(name)
            if name in _TRANSMITTERS and theirs is not None and theirs != ours:
                raise refused(REQUEST_INVALID, f"{name} is not what it is here (SSF 1.0, 8.1.1.3)")
        wanted, header = self._wanted(receiver, body, None if replace else stream)
        unit = self._locked(receiver)
        store.change_stream(unit, stream.id, wanted, header)
        unit.record(_event("ssf.out_stream_changed", receiver, stream.id, method=wanted["method"]))
        await self._database.commit(unit)
        return answer(200, self._told(receiver, await self._stream(receiver, stream.id)))

    async def delete(self, request: Request) -> Response:
        """8.1.1.5."""
        receiver = await self._access.prove(request, MANAGE)
        stream = await self._stream(receiver, stream_named(request) or "")
        unit = self._locked(receiver)
        queue_store.empty(unit, stream.id)
        store.drop_stream(unit, stream.id)
        unit.record(_event("ssf.out_stream_deleted", receiver, stream.id))
        await self._database.commit(unit)
        return Response(204, b"", ((b"cache-control", b"no-store"),))

    # --- status, subjects, verification (8.1.2 to 8.1.4) ------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        """8.1.2.1."""
        receiver = await self._access.prove(request, READ)
        return answer(200, told_status(await self._touched(receiver, stream_named(request) or "")))

    async def set_status(self, request: Request) -> Response:
        """8.1.2.2."""
        receiver, body = await self._access.prove(request, MANAGE), body_of(request)
        stream, status = await self._touched(receiver, text_of(body, "stream_id")), body.get("status")
        reason = body.get("reason", "")
        if status not in ("enabled", "paused", "disabled") or not isinstance(reason, str) or len(reason) > MAX_TEXT:
            raise refused(REQUEST_INVALID, "status is enabled, paused or disabled; reason a short text")

        async def change(unit: Unit, now: OutStream) -> None:
            if now.held:
                raise refused(STREAM_HELD)
            store.set_status(unit, now.id, status, plain(reason))
            if status == "disabled":
                queue_store.empty(unit, now.id)
            unit.record(_event("ssf.out_stream_status", receiver, now.id, before=now.status, after=status))

        await self._changed(receiver, stream.id, change)
        self._database.wake(TOKENS_CHANNEL)
        return answer(200, told_status(await self._stream(receiver, stream.id)))

    async def add(self, request: Request) -> Response:
        """8.1.3.2: every subject is there from the start, so that only one that was taken out comes back."""
        receiver, stream, subject = await self._about(request)
        about = parse_subject(subject)
        await self._remove(receiver, stream.id, lambda there: [one for one in there if parse_subject(one) != about])
        return Response(200, b"", ((b"cache-control", b"no-store"),))

    async def remove(self, request: Request) -> Response:
        """8.1.3.3."""
        receiver, stream, subject = await self._about(request)
        about = parse_subject(subject)
        if matches(about, parse_subject({"format": "opaque", "id": stream.id})):
            raise refused(REQUEST_INVALID, "the stream itself is always part of it (SSF 1.0, 8.1.4.1)")

        def without(there: Sequence[Any]) -> list[Any]:
            others = [one for one in there if parse_subject(one) != about]
            if len(others) >= _MAX_REMOVED:
                raise refused(REQUEST_INVALID, f"more than {_MAX_REMOVED} subjects cannot be taken out")
            return [*others, subject]

        await self._remove(receiver, stream.id, without)
        return Response(204, b"", ((b"cache-control", b"no-store"),))

    async def verify(self, request: Request) -> Response:
        """8.1.4.2."""
        receiver, body = await self._access.prove(request, MANAGE), body_of(request)
        stream, state = await self._touched(receiver, text_of(body, "stream_id")), body.get("state")
        if state is not None and (not isinstance(state, str) or not 0 < len(state) <= MAX_TEXT or "\x00" in state):
            raise refused(REQUEST_INVALID, f"state is a text of 1 to {MAX_TEXT} characters")

        # Signed beforehand: a commit waits for nothing but the database.
        queued = Unit()
        await self._sender.verification(queued, receiver, stream, state)

        async def change(unit: Unit, now: OutStream) -> None:
            last, at = now.verification_asked_at, self._clock.now()
            if last is not None and at - last < timedelta(seconds=MIN_VERIFICATION):
                raise refused(TOO_OFTEN)
            store.verification_asked(unit, now.id, at)
            unit.absorb(queued)

        await self._changed(receiver, stream.id, change)
        self._database.wake(TOKENS_CHANNEL)
        return Response(204, b"", ((b"cache-control", b"no-store"),))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _wanted(
        self, receiver: Receiver, body: Mapping[str, Any], present: OutStream | None
    ) -> tuple[dict[str, Any], bytes | None]:
        """The configuration that ``body`` makes, and the sealed header; what it leaves out is as in ``present``."""
        definition = receiver.definition
        requested = body.get("events_requested", None if present is None else list(present.requested))
        requested = list(definition.events) if requested is None else requested
        if not isinstance(requested, list) or len(requested) > 100 or not all(is_text(one) for one in requested):
            raise refused(REQUEST_INVALID, "events_requested is a list of URIs")
        description = body.get("description", present.description if present else "")
        if not isinstance(description, str) or "\x00" in description:
            raise refused(REQUEST_INVALID, "description is a text")
        delivery = body.get("delivery")
        if delivery is None and present is not None:
            method, endpoint, header = present.method, present.endpoint, present.header
        else:
            method, endpoint, header = self._delivery(receiver, delivery)
        return {
            "method": method, "endpoint": endpoint, "requested": requested, "description": plain(description)[:200],
        }, header  # fmt: skip

    def _delivery(self, receiver: Receiver, delivery: Any) -> tuple[str, str, bytes | None]:
        if delivery is None:
            return POLL, "", None
        if not isinstance(delivery, dict) or delivery.get("method") not in (PUSH, POLL):
            raise refused(REQUEST_INVALID, f"delivery.method is {PUSH} or {POLL}")
        if delivery["method"] == POLL:
            return POLL, "", None
        endpoint, header = delivery.get("endpoint_url"), delivery.get("authorization_header")
        if not isinstance(endpoint, str) or not may_push_to(receiver.definition, endpoint):
            raise refused(NOT_GRANTED, "endpoint_url is at none of the hosts that this receiver may have pushed to")
        if header is None:
            return PUSH, endpoint, None
        if not isinstance(header, str) or not header.isascii() or not header.isprintable() or len(header) > 2_048:
            raise refused(REQUEST_INVALID, "authorization_header is printable ASCII")
        return PUSH, endpoint, self._box.seal(f"header:{receiver.name}", header.encode())

    def _told(self, receiver: Receiver, stream: OutStream) -> dict[str, Any]:
        return stream.told(receiver.definition, self._base, f"{self._base}/ssf/poll?stream_id={quote(stream.id)}")

    async def _stream(self, receiver: Receiver, id: str) -> OutStream:
        found = await store.find_stream(self._database, id) if is_stream_id(id) else None
        if found is None or found.receiver != receiver.name:
            raise refused(OUT_STREAM_UNKNOWN)
        return found

    async def _touched(self, receiver: Receiver, id: str) -> OutStream:
        """The stream; asking for it is activity of its receiver (8.1.1)."""
        found = await self._stream(receiver, id)
        unit = Unit()
        store.active(unit, found.id, self._clock.now())
        await self._database.commit(unit)
        return found

    async def _about(self, request: Request) -> tuple[Receiver, OutStream, dict[str, Any]]:
        receiver, body = await self._access.prove(request, MANAGE), body_of(request)
        stream, subject = await self._touched(receiver, text_of(body, "stream_id")), body.get("subject")
        if not isinstance(subject, dict) or len(msgspec.json.encode(subject)) > _MAX_SUBJECT:
            raise refused(REQUEST_INVALID, f"subject is missing, or longer than {_MAX_SUBJECT} octets")
        return receiver, stream, subject

    async def _remove(self, receiver: Receiver, id: str, left: Callable[[Sequence[Any]], list[Any]]) -> None:
        async def change(unit: Unit, now: OutStream) -> None:
            removed = left(now.removed)
            store.set_removed(unit, now.id, removed)
            unit.record(_event("ssf.out_subjects", receiver, now.id, removed=len(removed)))

        await self._changed(receiver, id, change)

    async def _changed(self, receiver: Receiver, id: str, change: Callable[[Unit, OutStream], Awaitable[None]]) -> None:
        """Change the stream as it is now: two requests at once do not undo each other."""

        async def step(reader: Reader, unit: Unit) -> None:
            now = await store.find_stream(reader, id)
            if now is None:
                raise refused(OUT_STREAM_UNKNOWN)
            await change(unit, now)

        await self._database.commit(self._locked(receiver).then(step))

    def _locked(self, receiver: Receiver) -> Unit:
        return Unit().guard(
            store.LOCK_RECEIVER, receiver.name, refuse=refused(UNAUTHORIZED), key=("ssf_receiver", receiver.name)
        )


#: What a receiver may send back and may not change.
_TRANSMITTERS: Final = frozenset(
    {"iss", "aud", "events_supported", "events_delivered", "min_verification_interval", "inactivity_timeout"}
)


def _event(kind: str, receiver: Receiver, stream: str, **data: Json) -> Event:
    known: dict[str, Json] = {"receiver": receiver.name, "stream": stream}
    return Event(kind, f"ssf-receiver:{receiver.name}", (f"ssf_receiver:{receiver.name}",), known | data)
