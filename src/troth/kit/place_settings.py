"""Settings of places: the section ``[places]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,62}\Z")]
Network = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F.:]+/[0-9]{1,3}\Z")]


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site: what belongs to it. A policy reads `place.site` and `place.country`."""

    country: Annotated[
        str, Meta(description="ISO 3166-1 alpha-2, such as `DE`. Empty: not told.", pattern=r"\A([A-Z]{2})?\Z")
    ] = ""
    networks: Annotated[
        tuple[Network, ...],
        Meta(
            description="Address ranges of its clients and access servers, such as `10.1.0.0/16`; the narrowest counts."
        ),
    ] = ()
    nas: Annotated[tuple[str, ...], Meta(description="NAS-Identifiers of its access servers.")] = ()


class PlaceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where clients and access servers are. What no site names is unknown to a policy."""

    sites: Annotated[dict[Name, SiteSettings], Meta(description="Sites by name: `[places.sites.NAME]`, below.")] = (
        field(default_factory=dict)
    )
