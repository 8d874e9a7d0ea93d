"""Every table of the agent's configuration, with its defaults and bounds; :mod:`troth.agent.config` reads the file."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from troth.agent import system
from troth.agent.keys.model import KeyType
from troth.agent.keys.tpm.doors import DEFAULT as TPM_DEFAULT
from troth.agent.spiffe.settings import SpiffeSettings
from troth.agent.survey.settings import SurveySettings

Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=86400)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Argv: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=1)]
Mode: TypeAlias = Annotated[str, Meta(pattern=r"^0[0-7]{3}$")]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent itself.

    Attributes:
        state: its directory. metrics_file: where node_exporter's textfile collector reads, empty for none.
        warn_days: how long before the end of a certificate that could not be renewed every line is loud.
    """

    state: str = system.STATE
    metrics_file: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    warn_days: Annotated[int, Meta(ge=1, le=90)] = 7


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where certificates come from: an ACME server, or an EST server.

    Attributes:
        directory: URL of the ACME directory; directory_file: a file that holds it, where it is a secret.
        trust: PEM file of roots that the server's own certificate leads to; empty: the system's.
        anchors: PEM files of roots that issued chains must lead to; empty: those of ``trust``.
        eab_key_id, eab_key_file: external account binding; the file holds the key in base64url.
        est: URL of an EST server in place of a directory: ``https://HOST/.well-known/est``, or ``/LABEL`` behind it.
        est_user, est_secret_file: an enrolment's key id and its secret, for first certificates.
        bootstrap_certificate, bootstrap_key: PEM files of a certificate to begin with: a maker's, or another PKI's.
        renewal_info: URL of renewal information (RFC 9773), where the EST server's CA has it.
    """

    directory: str = ""
    directory_file: str = ""
    trust: str = ""
    anchors: tuple[str, ...] = ()
    contact: tuple[str, ...] = ()
    eab_key_id: str = ""
    eab_key_file: str = ""
    est: str = ""
    est_user: str = ""
    est_secret_file: str = ""
    bootstrap_certificate: str = ""
    bootstrap_key: str = ""
    renewal_info: str = ""


# --- keys ------------------------------------------------------------------------------------------------------------


class FileKeySettings(
    msgspec.Struct, tag="file", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The key lies in a file."""

    type: KeyType = "p256"
    reuse: bool = False


class Pkcs11KeySettings(
    msgspec.Struct, tag="pkcs11", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The key lives in a PKCS#11 token."""

    type: KeyType = "p256"
    reuse: bool = False
    library: str
    token: str
    pin_file: str


class TpmKeySettings(
    msgspec.Struct, tag="tpm", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The key lives in the host's TPM, which can attest it.

    Attributes:
        tcti: the way to the TPM (keys.tpm.doors). attestation_ca: URL of the attestation CA that certifies the TPM's
            attestation key; needed where a device is to be proved (device-attest-01).
    """

    type: KeyType = "p256"
    reuse: bool = False
    tcti: str = TPM_DEFAULT
    attestation_ca: str = ""


KeySettings: TypeAlias = FileKeySettings | Pkcs11KeySettings | TpmKeySettings


# --- challenges ------------------------------------------------------------------------------------------------------


class ListenHttp(
    msgspec.Struct, tag="http-01", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The agent itself answers on port 80 while it is asked."""

    address: str = ""
    port: Port = 80


class WebRoot(msgspec.Struct, tag="webroot", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A web server answers http-01; the agent puts files below its root."""

    path: str


class ListenTls(
    msgspec.Struct, tag="tls-alpn-01", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The agent itself answers on port 443 while it is asked."""

    address: str = ""
    port: Port = 443


class DnsHook(msgspec.Struct, tag="dns-01", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program sets and clears TXT records."""

    command: Argv
    timeout: Seconds = 120
    wait: Annotated[int, Meta(ge=0, le=3600)] = 0


ChallengeSettings: TypeAlias = ListenHttp | WebRoot | ListenTls | DnsHook


# --- what is done with a certificate ---------------------------------------------------------------------------------


class OutputSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One form of the certificate, at a path.

    Attributes:
        form: ``fullchain`` leaf and chain; ``cert`` the leaf; ``chain`` without it; ``key``; ``bundle`` fullchain and
            key (HAProxy); ``pkcs12``.
        path: a symbolic link is put there; with ``copy`` a file.
        owner, group: names or numbers; empty: the agent's own.
        mode: octal; by default 0644, and 0600 for what holds the key.
        password_file: of ``pkcs12``; the agent reads it.
    """

    form: Literal["fullchain", "cert", "chain", "key", "bundle", "pkcs12"]
    path: str
    owner: str = ""
    group: str = ""
    mode: Mode = ""
    copy: bool = False
    password_file: str = ""


class CommandSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that is run, without a shell. Its environment is in docs/agent.md."""

    command: Argv
    timeout: Seconds = 60


class ProveTls(msgspec.Struct, tag="tls", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Connect as a client would, and see whether the new certificate is served."""

    host: str = "localhost"
    port: Port = 443
    server_name: str = ""
    starttls: Literal["", "smtp", "imap", "ldap", "postgres"] = ""
    timeout: Seconds = 30


class ProveCommand(
    msgspec.Struct, tag="command", tag_field="kind", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A program says by its exit code whether the new certificate is served."""

    command: Argv
    timeout: Seconds = 60


ProveSettings: TypeAlias = ProveTls | ProveCommand


class StapleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OCSP answer kept fresh at a path, for ``ssl_stapling_file`` and its like."""

    path: str
    owner: str = ""
    group: str = ""
    mode: Mode = "0644"
    reload: CommandSettings | None = None


class CertificateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One certificate that is to be there.

    Attributes:
        issuer: the name of an ``[issuer.NAME]``; may be left out when there is one.
        names: DNS names and IP addresses; ``permanent-identifier:VALUE`` or ``hardware-module:VALUE`` of a device.
        profile: asked of the ACME server; empty: its default. An EST server's label has one.
        purposes: extended key usages that it must have to be installed.
        renew_at: the share of its lifetime after which it is renewed when the server suggests no time.
    """

    issuer: str = ""
    names: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
    profile: str = ""
    key: KeySettings = FileKeySettings()
    challenge: ChallengeSettings | None = None
    purposes: tuple[Literal["server", "client"], ...] = ()
    renew_at: Annotated[float, Meta(ge=0.1, le=0.95)] = 0.66
    output: tuple[OutputSettings, ...] = ()
    reload: CommandSettings | None = None
    prove: ProveSettings | None = None
    staple: StapleSettings | None = None


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    agent: AgentSettings = AgentSettings()
    issuer: dict[str, IssuerSettings] = {}
    certificate: dict[str, CertificateSettings] = {}
    spiffe: SpiffeSettings | None = None
    survey: SurveySettings | None = None


def kind_of(table: msgspec.Struct) -> str:
    """What a table says that it is: ``file``, ``http-01``, ``tls``."""
    return str(table.__struct_config__.tag)
