"""Settings of RADIUS over TLS."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Seconds = {"unit": "seconds"}


class RadsecSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RADIUS over TLS (RadSec, RFC 6614; docs/radius.md). Which access servers may connect stands in ``nas:``."""

    listen: Annotated[
        str,
        Meta(description="`HOST:PORT` of RadSec, usually `*:2083`. Empty: there is none.", pattern=r"\A(\S+:\d+)?\Z"),
    ] = ""
    authorities: Annotated[
        tuple[str, ...], Meta(description="Our authorities (by slug) whose certificates access servers show.")
    ] = ()
    anchors: Annotated[
        tuple[str, ...], Meta(description="The same of foreign trust anchors, by name (`troth anchor list`).")
    ] = ()
    client_certificate: Annotated[
        str,
        Meta(description="PEM file that RadSec servers of a pool (`proxies:`) are shown: leaf, then intermediates."),
    ] = ""
    client_key: Annotated[str, Meta(description="PEM file of its private key, mode 0600.")] = ""
    versions: Annotated[
        tuple[Literal["1.0", "1.1"], ...],
        Meta(
            description="RADIUS versions that are spoken; 1.1 (RFC 9765) where both can and TLS is 1.3.", min_length=1
        ),
    ] = ("1.1", "1.0")
    connections: Annotated[int, Meta(ge=1, le=100_000, description="Open at once in each RADIUS process.")] = 4096
    connections_each: Annotated[int, Meta(ge=1, le=1024, description="The same of one access server.")] = 16
    half_open: Annotated[int, Meta(ge=1, le=10_000, description="TLS handshakes under way in each process.")] = 64
    handshake_seconds: Annotated[int, Meta(ge=1, le=60, description="Longest TLS handshake.", extra=_Seconds)] = 10
    idle_seconds: Annotated[
        int,
        Meta(ge=60, le=86_400, description="A connection on which nothing is said is closed.", extra=_Seconds),
    ] = 3600
    pending: Annotated[
        int,
        Meta(ge=1, le=4096, description="Requests under way on one connection; more wait unread."),
    ] = 256
