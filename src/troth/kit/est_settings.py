"""Settings of the EST door: the section ``[est]`` and its tables. See ``settings``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Label = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]


class EstLabel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One EST label, `https://…/.well-known/est/NAME/…`: which certificates it gives, and to whom.

    Whoever has an enrolment that names the label may ask; what follows is who else may, and how.
    """

    profile: Annotated[str, Meta(min_length=1, description="Profile of the certificates that it gives.")]
    bootstrap: Annotated[
        Literal["off", "device", "names"],
        Meta(
            description="What a client certificate of a foreign trust anchor (purpose `clientAuth`) is worth. "
            "`device`: its serial number names a device of the directory (a maker's IDevID). `names`: its DNS names "
            "and addresses are taken as proved (the PKI that is being replaced)."
        ),
    ] = "off"
    from_profiles: Annotated[
        tuple[str, ...],
        Meta(description="Certificates of these profiles, issued here, may ask for a first certificate."),
    ] = ()
    adopt: Annotated[
        bool, Meta(description="Renew certificates of the label's profile that came by another door (ACME, the API).")
    ] = False
    server_keygen: Annotated[
        bool, Meta(description="Make keys for clients that ask for it (serverkeygen). Troth does not keep them.")
    ] = False
    channel_binding: Annotated[
        Literal["ignore", "verify", "require"],
        Meta(
            description="What becomes of a `challengePassword` (RFC 7030, 3.5). `verify`: where there is one it "
            "must be the connection's tls-unique. `require`: there must be one, so clients connect with TLS 1.2."
        ),
    ] = "verify"


def _shipped() -> dict[str, EstLabel]:
    return {name: EstLabel(profile=name) for name in ("mutual-tls", "tls-server", "wifi-device")}


class EstSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The EST door (RFC 7030) on the https listener."""

    enabled: Annotated[
        bool,
        Meta(
            description="Answer EST. The https listener then asks every client for a certificate; none need show one."
        ),
    ] = True
    default: Annotated[
        str, Meta(description="Label that requests without one go to: `https://…/.well-known/est/simpleenroll`.")
    ] = "mutual-tls"
    labels: Annotated[
        dict[Label, EstLabel],
        Meta(
            description="Labels by name, one table each: `[est.labels.NAME]`, below. The shipped ones are "
            "`mutual-tls`, `tls-server` and `wifi-device`, each with the profile of its name; the first table takes "
            "their place."
        ),
    ] = field(default_factory=_shipped)
    repeat_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=604_800,
            description="The same request of the same client within this time is given the same certificate.",
            extra={"unit": "seconds"},
        ),
    ] = 3600
    retry_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="After how long a client whose request waits should come again.",
            extra={"unit": "seconds"},
        ),
    ] = 60
    requests_per_minute: Annotated[
        int, Meta(ge=1, le=100_000, description="What each network may ask in a minute, of each web process.")
    ] = 120
