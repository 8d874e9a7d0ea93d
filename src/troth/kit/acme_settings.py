"""Settings of the ACME server: the section ``[acme]`` and its tables. See ``settings``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Port = Annotated[int, Meta(ge=1, le=65535)]


class AcmeDirectory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ACME directory, `https://…/acme/NAME/directory`: what it offers, and to whom."""

    profiles: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Profiles that an order may name (`meta.profiles`); the first is taken where it names none.",
        ),
    ]
    requires: Annotated[
        Literal["nothing", "external-account", "enrolment"],
        Meta(
            description="What a newcomer must bring to get an account: `external-account`, a key id and an HMAC key "
            "that an operator gave out; `enrolment`, the secret directory URL of an enrolment, and nothing else."
        ),
    ] = "nothing"
    challenges: Annotated[
        tuple[Literal["http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01", "device-attest-01"], ...],
        Meta(min_length=1, description="Proofs offered, in the order in which clients see them."),
    ] = ("http-01", "dns-01", "tls-alpn-01")
    identifiers: Annotated[
        tuple[Literal["dns", "ip", "permanent-identifier", "hardware-module"], ...],
        Meta(min_length=1, description="Types of identifier that may be asked for."),
    ] = ("dns", "ip")
    subdomains: Annotated[
        bool, Meta(description="A proof of a domain may be asked to hold for the names below it (RFC 9444).")
    ] = False
    pre_authorization: Annotated[
        bool, Meta(description="Names may be proved before they are ordered (newAuthz; RFC 8555, 7.4.1).")
    ] = False
    caa: Annotated[
        bool,
        Meta(description="Look at CAA records of DNS names. Needs `acme.issuer_domains`; of no use for private names."),
    ] = False


#: SHA-256 of a public key, in hexadecimal.
Pin = Annotated[str, Meta(pattern=r"\A([0-9a-fA-F]{64})?\Z")]


class AcmeVantage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One further place from which control of a name is looked at: a vantage process elsewhere (`url` and `key`), or
    this machine with another resolver, another address, or both."""

    url: Annotated[
        str,
        Meta(
            description="Where a `troth serve --role vantage` listens, `https://HOST:PORT`. Empty: this machine.",
            pattern=r"\A(https://[^/\s]+)?\Z",
        ),
    ] = ""
    key: Annotated[Pin, Meta(description="What `troth vantage key` prints there.")] = ""

    resolver: Annotated[
        str, Meta(description="DNS server, `ADDRESS` or `ADDRESS:PORT`. Empty: as everywhere else.")
    ] = ""
    source_address: Annotated[
        str, Meta(description="Address of this machine to connect from; its routing decides on the path. Empty: any.")
    ] = ""


class VantageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This process as a vantage point of a Troth elsewhere (`troth serve --role vantage`). Ports, resolver, networks
    and longest time are those of `[acme]` here."""

    listen: Annotated[str, Meta(description="`HOST:PORT`; `*` as the host listens on every address.")] = "*:8460"
    asked_by: Annotated[
        tuple[Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{64}\Z")], ...],
        Meta(description="Keys whose questions are answered: what `troth vantage key` prints on Troth's machines."),
    ] = ()
    at_once: Annotated[int, Meta(ge=1, le=10_000, description="Questions under way; more are refused.")] = 64


#: Devices that are known to the directory, on their hardware's word.
DEVICES = AcmeDirectory(
    profiles=("device-identity", "wifi-device"),
    challenges=("device-attest-01",),
    identifiers=("permanent-identifier", "hardware-module"),
)


class AcmeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ACME server (RFC 8555) and how it validates control of a name."""

    directories: Annotated[
        dict[Annotated[str, Meta(pattern=r"\A(?!unpause\Z)[a-z0-9][a-z0-9-]{0,31}\Z")], AcmeDirectory],
        Meta(
            description="Directories by name, one table each: `[acme.directories.NAME]`, below. The shipped ones are "
            "`tls-server`, with the profile of that name, and `devices`, for devices that attest their keys; the first "
            "table takes their place."
        ),
    ] = field(default_factory=lambda: {"tls-server": AcmeDirectory(profiles=("tls-server",)), "devices": DEVICES})
    http_port: Annotated[Port, Meta(description="Port that http-01 connects to.")] = 80
    tls_alpn_port: Annotated[Port, Meta(description="Port that tls-alpn-01 connects to.")] = 443
    resolver: Annotated[
        str, Meta(description="DNS server for all validation, `ADDRESS` or `ADDRESS:PORT`. Empty: the system's.")
    ] = ""
    vantages: Annotated[
        dict[Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")], AcmeVantage],
        Meta(description="Further vantage points by name, one table each: `[acme.vantages.NAME]`, below."),
    ] = {}
    quorum: Annotated[
        int,
        Meta(
            ge=0,
            le=20,
            description="How many of the further vantage points must see what the first one saw. 0: as many as public "
            "authorities need (all but one of two to five, all but two of six or more).",
        ),
    ] = 0
    issuer_domains: Annotated[
        tuple[str, ...],
        Meta(
            description="Domain names that stand for this server in CAA records and for dns-persist-01, lower-case; "
            "told as `caaIdentities`."
        ),
    ] = ()
    persist_account_urls: Annotated[
        bool,
        Meta(
            description="Take dns-persist-01 records that name an account by its URL, as drafts up to -01 have it, "
            "beside those with the hashed URI of -02, which an impostor of this server cannot have an owner write for "
            "another's account."
        ),
    ] = True
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
    keep_orders_days: Annotated[
        int,
        Meta(
            ge=1,
            description="An order goes so long after it ended unfinished, or after its certificate ran out; so do "
            "records of failed validations.",
            extra={"unit": "days"},
        ),
    ] = 30
    max_names: Annotated[int, Meta(ge=1, le=1000, description="Identifiers that one order may hold.")] = 100
    strict_replaces: Annotated[
        bool,
        Meta(
            description="Refuse an order whose `replaces` names a certificate that it cannot replace (RFC 9773). "
            "Otherwise such a name is logged and ignored: clients keep sending stale ones."
        ),
    ] = False
    renewals_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Certificates that incidents, all together, may have renewed early in a minute.",
        ),
    ] = 600
    preferred_chain: Annotated[
        str,
        Meta(
            description="Chain that clients are given first: the one whose last certificate was issued by this common "
            "name. Empty: that of the authority's own root. The others are offered as alternates."
        ),
    ] = ""
    contact_required: Annotated[bool, Meta(description="Refuse accounts without a contact address.")] = False
    contact_domains: Annotated[
        tuple[str, ...], Meta(description="Domains that contact addresses may lie in. Empty: any.")
    ] = ()
    refuse_link_local: Annotated[
        bool, Meta(description="Never connect to 169.254.0.0/16 or fe80::/10 (cloud metadata lives there).")
    ] = True
    allowed_networks: Annotated[
        tuple[str, ...], Meta(description="The only networks that validation connects to, `10.0.0.0/8`. Empty: any.")
    ] = ()
    denied_networks: Annotated[
        tuple[str, ...], Meta(description="Further networks that validation never connects to, `10.9.0.0/16`.")
    ] = ()
    terms_url: Annotated[str, Meta(description="Terms of service that accounts must agree to. Empty: none.")] = ""
    website_url: Annotated[str, Meta(description="Page about this server, shown in the directory.")] = ""


class AcmeTestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Test mode, for those who write ACME clients: as awkward as the protocol allows. Never on a server in use."""

    enabled: Annotated[bool, Meta(description="Without it, every other setting here is refused.")] = False
    reject_nonces_percent: Annotated[
        int, Meta(ge=0, le=100, description="Share of good nonces answered with badNonce.", extra={"unit": "%"})
    ] = 0
    reuse_proofs_percent: Annotated[
        int, Meta(ge=0, le=100, description="Share of proofs taken again for further orders.", extra={"unit": "%"})
    ] = 100
    validation_delay_milliseconds: Annotated[
        int, Meta(ge=0, le=4000, description="Pause before each validation.", extra={"unit": "milliseconds"})
    ] = 0
    finalize_delay_milliseconds: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="How long a finalized order is told as `processing`, though its certificate is there.",
            extra={"unit": "milliseconds"},
        ),
    ] = 0
    orders_per_page: Annotated[
        int, Meta(ge=0, le=50, description="Orders on a page of an account's list. 0: 50.", extra={"unit": "orders"})
    ] = 0
    random_paths: Annotated[
        bool, Meta(description="New paths in the directory at each look, and a member that no client knows.")
    ] = False
    always_valid: Annotated[
        bool, Meta(description="Every proof is valid, and nothing is connected to. For trial authorities alone.")
    ] = False
