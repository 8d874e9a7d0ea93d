"""Settings of how validity is told: the sections ``[ocsp]`` and ``[crl]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class OcspSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OCSP answers (RFC 6960)."""

    validity_seconds: Annotated[
        int,
        Meta(ge=1, description="From thisUpdate to nextUpdate: how long clients may cache.", extra={"unit": "seconds"}),
    ] = 60
    patience_milliseconds: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="How long an answer waits for the database, and for the worker's lease on the trust stream "
            "when it has lapsed, as on a machine that is busy for a moment. Then the client is told to try later.",
            extra={"unit": "milliseconds"},
        ),
    ] = 2000


class CrlSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificate revocation lists (RFC 5280, section 5)."""

    interval_seconds: Annotated[
        int, Meta(ge=10, description="A new CRL is made at least this often.", extra={"unit": "seconds"})
    ] = 3600
    gather_seconds: Annotated[
        int,
        Meta(ge=0, description="After a change, wait this long for more before a CRL.", extra={"unit": "seconds"}),
    ] = 1
    validity_seconds: Annotated[
        int, Meta(ge=60, description="From thisUpdate to nextUpdate.", extra={"unit": "seconds"})
    ] = 86_400
