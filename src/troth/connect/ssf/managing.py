"""A stream and its transmitter: connecting, verifying, pausing, ending; what a person does, and what is due.

Everything that a transmitter has to agree to is asked of it first, and written down when it has answered; a stream
whose transmitter does not answer stays as it was, with what failed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from troth.connect.proof import ClientCredentials, Fetches, Proof, Token
from troth.connect.ssf import store
from troth.connect.ssf.errors import STREAM_STATE, StreamState, TransmitterFailed
from troth.connect.ssf.events import REQUESTED
from troth.connect.ssf.model import Configuration, Metadata, Stream, StreamDefinition, Verification, answer
from troth.connect.ssf.remote import Transmitter
from troth.connect.ssf.streams import StreamDesk, event, locked, new_header
from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.kit.errors import TrothError
from troth.kit.ids import new_id
from troth.store.lease import Lease
from troth.store.pool import Database
from troth.store.unit import Unit

_GRACE: Final = timedelta(seconds=15)


class _Nothing:
    """No proof: whoever asks is known otherwise, or need not be."""

    async def headers(self) -> Mapping[str, str]:
        return {}

    def refused(self) -> bool:
        return False


class StreamManager:
    """Speaks with transmitters.

    Args:
        push_url: where a stream's tokens are to be pushed, by its name.
    """

    def __init__(
        self, database: Database, clock: Clock, http: Fetches, desk: StreamDesk, *, push_url: Callable[[str], str]
    ) -> None:
        self._database = database
        self._clock = clock
        self._http = http
        self._desk = desk
        self._push_url = push_url
        self._transmitters: dict[str, tuple[Stream, Transmitter]] = {}

    def push_url(self, name: str) -> str:
        """Where a stream's tokens are to be pushed."""
        return self._push_url(name)

    def transmitter(self, stream: Stream) -> Transmitter:
        """Who speaks with this stream's transmitter; it keeps its access token."""
        kept = self._transmitters.get(stream.name)
        if kept is not None and kept[0].definition == stream.definition and kept[0].secret == stream.secret:
            return kept[1]
        made = Transmitter(self._http, stream.definition, self._proof(stream))
        self._transmitters[stream.name] = (stream, made)
        return made

    def _proof(self, stream: Stream) -> Proof:
        definition = stream.definition
        if definition.auth == "none" or not definition.managed:
            return _Nothing()
        secret = self._desk.credential(stream)
        if definition.auth == "token":
            return Token(secret)
        by_key = definition.auth == "private_key_jwt"
        return ClientCredentials(
            self._http,
            self._clock,
            url=definition.token_url,
            client_id=definition.client_id,
            secret=None if by_key else secret,
            key=secret if by_key else None,
            style="basic",
            scope=" ".join(definition.scopes),
        )

    async def connect(self, name: str, *, actor: str) -> Stream:
        """Read the transmitter's metadata; make the stream there, or bring it into the defined form.

        Raises StreamUnknown, TransmitterFailed, and what the guarded client raises; what failed is kept.
        """
        await self._desk.stream(name)
        # Two at once would make two streams over there.
        lease = Lease(self._database, self._clock, f"ssf-connect:{name}", new_id(), seconds=60.0)
        if await lease.acquire() is None:
            raise StreamState(STREAM_STATE, f"the stream {name} is just being connected by another process")
        try:
            # Read while nobody else connects: another may just have made the stream.
            return await self._connect(await self._desk.stream(name), actor)
        except TrothError as error:
            await self.failed(name, error)
            raise
        finally:
            await lease.release()

    async def _connect(self, stream: Stream, actor: str) -> Stream:
        name, definition = stream.name, stream.definition
        transmitter = self.transmitter(stream)
        metadata = await self._metadata(transmitter, definition)
        unit = locked(name)
        if not definition.managed:
            store.set_known(unit, name, metadata, None, "enabled", "set up by hand")
            unit.record(event("ssf.stream_connected", actor, definition, remote_id=None))
            await self._database.commit(unit)
            return await self._desk.stream(name)
        wanted = await self._wanted(definition)
        if stream.configuration is not None and await self._is_there(transmitter, metadata, stream.configuration):
            configuration = await transmitter.update(metadata, stream.configuration.stream_id, wanted)
        else:
            configuration = await transmitter.create(metadata, wanted)
        _check(configuration, stream)
        status, reason = "enabled", ""
        if metadata.status_endpoint:
            status, reason = await transmitter.status(metadata, configuration.stream_id)
        store.set_known(unit, name, metadata, configuration, status, reason)
        delivered: list[Json] = list(configuration.events_delivered)
        unit.record(
            event("ssf.stream_connected", actor, definition, remote_id=configuration.stream_id, delivered=delivered)
        )
        await self._database.commit(unit)
        return await self._desk.stream(name)

    async def _metadata(self, transmitter: Transmitter, definition: StreamDefinition) -> Metadata:
        """An issuer without metadata will do for a stream that was set up by hand, if its keys are known."""
        try:
            metadata = await transmitter.metadata()
        except TransmitterFailed:
            if definition.managed or not definition.jwks_uri:
                raise
            return Metadata(definition.issuer)
        if not (metadata.jwks_uri or definition.jwks_uri):
            raise answer("the metadata name no jwks_uri, so nothing that it signs can be believed")
        if metadata.delivery_methods and definition.managed and definition.method not in metadata.delivery_methods:
            raise answer(f"the transmitter does not offer {definition.method}")
        return metadata

    async def _is_there(self, transmitter: Transmitter, metadata: Metadata, known: Configuration) -> bool:
        try:
            return (await transmitter.read(metadata, known.stream_id)).stream_id == known.stream_id
        except TransmitterFailed as error:
            if error.facts.get("status") == 404:
                return False
            raise

    async def _wanted(self, definition: StreamDefinition) -> dict[str, Any]:
        """What we want of the stream (SSF 1.0, 8.1.1): the receiver's own fields, all of them."""
        delivery: dict[str, Any] = {"method": definition.method}
        if definition.delivery == "push":
            header, digest = new_header()
            # Kept before the transmitter is told: a delivery may come before its answer does.
            ahead = locked(definition.name)
            store.set_header(ahead, definition.name, digest)
            await self._database.commit(ahead)
            delivery |= {"endpoint_url": self._push_url(definition.name), "authorization_header": header}
        return {
            "delivery": delivery,
            "events_requested": list(definition.events or REQUESTED),
            "description": definition.description or f"Troth, stream {definition.name}",
        }

    async def replace(self, name: str, *, actor: str) -> Stream:
        """Put the defined form in the place of the transmitter's whole configuration (PUT)."""
        stream, metadata, known = await self._known(name)
        wanted = await self._wanted(stream.definition)
        configuration = await self.transmitter(stream).update(metadata, known.stream_id, wanted, replace=True)
        _check(configuration, stream)
        unit = locked(name)
        store.set_known(unit, name, metadata, configuration, stream.status, stream.status_reason)
        unit.record(event("ssf.stream_replaced", actor, stream.definition, remote_id=configuration.stream_id))
        await self._database.commit(unit)
        return await self._desk.stream(name)

    async def refresh(self, name: str) -> Stream:
        """Ask the transmitter how the stream is configured and in which status. Raises as ``connect``."""
        stream, metadata, known = await self._known(name)
        transmitter = self.transmitter(stream)
        configuration = await transmitter.read(metadata, known.stream_id)
        _check(configuration, stream)
        status, reason = str(stream.status), stream.status_reason
        if metadata.status_endpoint:
            status, reason = await transmitter.status(metadata, known.stream_id)
        unit = locked(name)
        store.set_known(unit, name, metadata, configuration, status, reason)
        await self._database.commit(unit)
        return await self._desk.stream(name)

    async def verify(self, name: str, *, actor: str = "") -> str:
        """Ask for a verification event; its state. ``verified_at`` moves when it has come. Raises as ``connect``."""
        stream, metadata, known = await self._known(name)
        asked = Verification(secrets.token_urlsafe(24), self._clock.now())
        unit = locked(name)
        store.verification_asked(unit, name, asked)
        if actor:
            unit.record(event("ssf.verification_asked", actor, stream.definition))
        # Written before it is asked for: the event may come before the answer does.
        await self._database.commit(unit)
        try:
            await self.transmitter(stream).verify(metadata, known.stream_id, asked.state)
        except TrothError as error:
            await self.failed(name, error)
            raise
        return asked.state

    async def set_status(self, name: str, status: str, *, actor: str, reason: str = "") -> Stream:
        """Pause, disable or enable the stream at its transmitter. Raises as ``connect``."""
        stream, metadata, known = await self._known(name)
        became, why = await self.transmitter(stream).set_status(metadata, known.stream_id, status, reason)
        unit = locked(name)
        store.set_status(unit, name, became, why or reason)
        unit.record(
            event("ssf.stream_status", actor, stream.definition, before=stream.status, after=became, why=reason)
        )
        await self._database.commit(unit)
        return await self._desk.stream(name)

    async def subject(self, name: str, subject: Mapping[str, Any], *, add: bool, actor: str) -> None:
        """Ask for events about ``subject``, or for none any more. Raises as ``connect``."""
        stream, metadata, known = await self._known(name)
        transmitter = self.transmitter(stream)
        if add:
            await transmitter.add_subject(metadata, known.stream_id, subject, verified=True)
        else:
            await transmitter.remove_subject(metadata, known.stream_id, subject)
        unit = locked(name)
        unit.record(event("ssf.subject_added" if add else "ssf.subject_removed", actor, stream.definition))
        await self._database.commit(unit)

    async def delete(self, name: str, *, actor: str, only_here: bool = False) -> None:
        """End the stream at its transmitter, then here. ``only_here``: the transmitter is not asked."""
        stream = await self._desk.stream(name)
        if not only_here and stream.metadata is not None and stream.configuration is not None:
            await self.transmitter(stream).delete(stream.metadata, stream.configuration.stream_id)
        unit = locked(name)
        store.delete(unit, name)
        unit.record(event("ssf.stream_deleted", actor, stream.definition, only_here=only_here))
        await self._database.commit(unit)
        self._transmitters.pop(name, None)

    async def run_due(self) -> int:
        """Connect what is planned and can be; ask for verifications whose time has come. How much was done."""
        done = 0
        for stream in await self._desk.streams():
            try:
                done += await self._due(stream)
            except TrothError:
                continue  # kept with the stream, and tried again next time
        return done

    async def _due(self, stream: Stream) -> bool:
        now, definition = self._clock.now(), stream.definition
        if stream.status == "planned":
            ready = definition.auth == "none" or stream.secret is not None or not definition.managed
            # Whoever has just applied it may be connecting it himself, and see at once what is wrong.
            ready = ready and now - stream.applied_at >= _GRACE
            if ready and (stream.error_at is None or now - stream.error_at >= timedelta(minutes=1)):
                await self.connect(stream.name, actor="system:ssf")
                return True
            return False
        known, metadata = stream.configuration, stream.metadata
        if known is None or metadata is None or not metadata.verification_endpoint or not definition.verify_seconds:
            return False
        pace = timedelta(seconds=max(definition.verify_seconds, known.min_verification_interval))
        last = [moment for moment in (stream.verified_at, stream.error_at) if moment is not None]
        last += [one.at for one in stream.verifications]
        if stream.status != "enabled" or (last and now - max(last) < pace):
            return False
        await self.verify(stream.name)
        return True

    async def failed(self, name: str, error: TrothError) -> None:
        """Keep with the stream what failed."""
        unit = Unit()
        store.failed(unit, name, f"{error.code}: {error.detail}", self._clock.now())
        await self._database.commit(unit)

    async def _known(self, name: str) -> tuple[Stream, Metadata, Configuration]:
        stream = await self._desk.stream(name)
        if stream.metadata is None or stream.configuration is None:
            raise StreamState(STREAM_STATE, f"the transmitter does not know the stream {name} by us")
        return stream, stream.metadata, stream.configuration


def _check(configuration: Configuration, stream: Stream) -> None:
    """SSF 1.0, 8.1.1.1: what comes back must be what was asked for."""
    definition = stream.definition
    if configuration.method != definition.method:
        raise answer(f"the transmitter made a stream of {configuration.method[:80]}")
    if definition.delivery == "poll" and not configuration.endpoint_url:
        raise answer("the transmitter says nowhere to poll")
    if not configuration.audience:
        raise answer("the stream has no aud")
    if definition.audience and not set(definition.audience) & set(configuration.audience):
        raise answer(f"the stream is for {', '.join(configuration.audience)[:200]}")
