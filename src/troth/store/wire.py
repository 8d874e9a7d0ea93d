"""Several statements in one round trip: PostgreSQL's extended query protocol, pipelined.

A statement by itself costs two processes a wake-up each, which is several times what a look-up by key costs. So all
that is known to be wanted next is sent in one write, and the server answers it in one: *an exchange*. asyncpg, which
has no pipelining, makes the connection (addresses, TLS, passwords); then this protocol takes its place on the
transport. One exchange is under way at a time.

Statements are prepared once per connection under names of their own, with binary parameters and results
(``codec``). An error ends an exchange: what came before it is done, what comes after is skipped (PostgreSQL,
"Pipelining" in its protocol chapter). Each exchange ends with one Sync, so outside a transaction block it is one
transaction.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from troth.store.codec import BY_OID, Decode, Encode

#: Seconds in which an exchange has to be answered.
_PATIENCE: Final = 30.0

_LENGTH, _COUNT, _OID = struct.Struct(">i"), struct.Struct(">h"), struct.Struct(">I")
_FRAME = struct.Struct(">cI")
_SYNC, _EXECUTE = b"S\0\0\0\x04", b"E\0\0\0\x09\0\0\0\0\0"
#: One format code for all parameters and one for all results: binary.
_BINARY = b"\0\x01\0\x01"
_NULL = b"\xff\xff\xff\xff"


class Ask(NamedTuple):
    """A statement and its values."""

    sql: str
    values: Sequence[Any] = ()


class Outcome(msgspec.Struct):
    """What an exchange came to.

    Attributes:
        rows: of each statement that was done, in their order, as tuples.
        columns: of each statement, the names.
        tags: command tags, ``SELECT 1``.
        error: of the statement after those, if one failed.
    """

    rows: list[list[tuple[Any, ...]]]
    columns: list[tuple[str, ...]]
    tags: list[str]
    error: asyncpg.PostgresError | None = None


class Unsupported(Exception):
    """A statement has a parameter or a result of a type without a codec."""

    def __init__(self, sql: str) -> None:
        super().__init__(f"no codec for {sql[:80]}")
        self.sql = sql


@dataclass(slots=True)
class _Prepared:
    bind_head: bytes
    encoders: tuple[Encode, ...]
    decoders: tuple[Decode, ...] = ()
    columns: tuple[str, ...] = ()

    def bind(self, values: Sequence[Any]) -> bytes:
        """Bind and Execute, with ``values``."""
        if len(values) != len(self.encoders):
            raise TypeError(f"{len(self.encoders)} values are wanted, not {len(values)}")
        parts, size = [self.bind_head], _LENGTH.pack
        for encode, value in zip(self.encoders, values, strict=True):
            if value is None:
                parts.append(_NULL)
            else:
                octets = encode(value)
                parts += (size(len(octets)), octets)
        parts.append(_BINARY)
        body = b"".join(parts)
        return b"B" + _LENGTH.pack(len(body) + 4) + body + _EXECUTE


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + _LENGTH.pack(len(body) + 4) + body


class Wire(asyncio.Protocol):
    """One connection for exchanges. Make it with :meth:`open`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection  # kept: it says who we are, and cleans up after itself
        self._transport: asyncio.Transport = connection._transport
        self._loop = asyncio.get_running_loop()
        self._prepared: dict[str, _Prepared] = {}
        self._unsupported: set[str] = set()
        self._named = 0
        self._received = b""
        self._waiter: asyncio.Future[Outcome] | None = None
        self._decoding: list[_Prepared] = []
        self._described: list[tuple[tuple[int, ...], tuple[tuple[str, int], ...]]] = []
        self._outcome = Outcome([], [], [])
        self._rows: list[tuple[Any, ...]] = []
        self._oids: tuple[int, ...] = ()
        self.closed = False

    @classmethod
    async def open(cls, url: str, **options: Any) -> Wire:
        """Connect, with asyncpg's options. Raises what asyncpg raises."""
        connection = await asyncpg.connect(url, **options)
        wire = cls(connection)
        wire._transport.set_protocol(wire)
        return wire

    async def exchange(self, asks: Sequence[Ask]) -> Outcome:
        """Have ``asks`` done in their order, until one fails.

        Raises Unsupported (nothing was done), ConnectionError or TimeoutError; then this connection is of no more use.
        """
        unknown = [ask.sql for ask in asks if ask.sql not in self._prepared]
        if unknown:
            failed = await self._prepare(list(dict.fromkeys(unknown)))
            if failed is not None:
                return failed
        self._decoding = [self._prepared[ask.sql] for ask in asks]
        parts = [prepared.bind(ask.values) for prepared, ask in zip(self._decoding, asks, strict=True)]
        return await self._round(b"".join((*parts, _SYNC)))

    async def _prepare(self, statements: Sequence[str]) -> Outcome | None:
        """Learn ``statements``; the outcome, if the server takes one of them amiss."""
        out: list[bytes] = []
        names: list[bytes] = []
        for sql in statements:
            if sql in self._unsupported:
                raise Unsupported(sql)
            self._named += 1  # the name of a statement that failed is not used again: it may be taken
            names.append(b"t%d\0" % self._named)
            out += (_message(b"P", names[-1] + sql.encode() + b"\0\0\0"), _message(b"D", b"S" + names[-1]))
        self._decoding, self._described = [], []
        outcome = await self._round(b"".join((*out, _SYNC)))
        for sql, name, (parameters, columns) in zip(statements, names, self._described, strict=False):
            if any(oid not in BY_OID for oid in (*parameters, *(oid for _, oid in columns))):
                self._unsupported.add(sql)
                continue
            encoders = tuple(BY_OID[oid].encode for oid in parameters)
            decoders = tuple(BY_OID[oid].decode for _, oid in columns)
            head = b"\0" + name + b"\0\x01\0\x01" + _COUNT.pack(len(encoders))
            self._prepared[sql] = _Prepared(head, encoders, decoders, tuple(column for column, _ in columns))
        for sql in statements:
            if sql in self._unsupported:
                raise Unsupported(sql)
        return None if outcome.error is None else outcome

    async def _round(self, data: bytes) -> Outcome:
        if self.closed or self._transport.is_closing():
            raise ConnectionResetError("the connection to the database is closed")
        self._outcome, self._rows = Outcome([], [], []), []
        self._waiter = self._loop.create_future()
        patience = self._loop.call_later(_PATIENCE, self._expire)
        self._transport.write(data)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.close()  # the answer is still to come, and nobody could tell it from the next one
            raise
        finally:
            patience.cancel()
            self._waiter = None

    def _expire(self) -> None:
        self._give_up(TimeoutError("the database has not answered in time"))

    def _give_up(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self.closed:
            return
        self.closed = True
        self._connection.terminate()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the connection to the database was closed"))

    # --- what the transport calls --------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(ConnectionResetError(f"the connection to the database ended: {exc or 'closed by the server'}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._read(self._received + data if self._received else data)
        except (ValueError, struct.error, IndexError, UnicodeDecodeError) as error:
            self._give_up(ConnectionAbortedError(f"the database said what cannot be read: {error}"))

    def _read(self, received: bytes) -> None:
        """Take every message that is here whole; the rest is kept for what follows."""
        at, end, frame = 0, len(received), _FRAME.unpack_from
        while end - at >= 5:
            kind, size = frame(received, at)
            if size < 4:
                raise ValueError("a message shorter than its length")
            after = at + 1 + size
            if after > end:
                break
            if kind == b"D":
                self._rows.append(self._row(received, at + 5))
            elif kind != b"2":  # BindComplete, of which there is one for each statement, says nothing
                self._message(kind, received, at + 5, after)
            at = after
        self._received = received[at:]

    def _message(self, kind: bytes, received: bytes, at: int, end: int) -> None:
        match kind:
            case b"C":
                done = self._decoding[len(self._outcome.rows)]
                self._outcome.rows.append(self._rows)
                self._outcome.columns.append(done.columns)
                self._outcome.tags.append(received[at : end - 1].decode())
                self._rows = []
            case b"Z":
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_result(self._outcome)
            case b"E":
                if self._waiter is None:
                    # The server ends the connection, and says why; what waits next hears that it is closed.
                    self.close()
                elif self._outcome.error is None:
                    self._outcome.error = _error(received[at:end])
            case b"t":
                (count,) = _COUNT.unpack_from(received, at)
                self._oids = struct.unpack_from(f">{count}I", received, at + 2)
            case b"T":
                self._described.append((self._oids, tuple(_columns(received, at))))
            case b"n":
                self._described.append((self._oids, ()))
            case b"1" | b"N" | b"S" | b"A" | b"I":
                pass
            case _:
                raise ValueError(f"a message of kind {kind!r}")

    def _row(self, received: bytes, at: int) -> tuple[Any, ...]:
        decoders = self._decoding[len(self._outcome.rows)].decoders
        at += 2
        values: list[Any] = []
        add, length = values.append, _LENGTH.unpack_from
        for decode in decoders:
            (size,) = length(received, at)
            at += 4
            if size < 0:
                add(None)
            else:
                end = at + size
                add(decode(received[at:end]))
                at = end
        return tuple(values)


def _columns(received: bytes, at: int) -> Iterable[tuple[str, int]]:
    (count,) = _COUNT.unpack_from(received, at)
    at += 2
    for _ in range(count):
        end = received.index(b"\0", at)
        (oid,) = _OID.unpack_from(received, end + 7)
        yield received[at:end].decode(), oid
        at = end + 19


def _error(body: bytes) -> asyncpg.PostgresError:
    """ErrorResponse as asyncpg's exception for its SQLSTATE."""
    fields = {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return asyncpg.PostgresError.new(fields)
