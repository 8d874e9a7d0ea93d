"""The agent's configuration: one TOML file in, one frozen :class:`AgentConfig` out, or a refusal that names the key.

A key that does not exist is refused, since a misspelt one that is silently ignored is a certificate that is not
renewed. What only this machine can tell (files that are missing, programs that are not there) is told by
:func:`troubles`, which ``troth agent check`` prints.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from troth.agent import disk, est_settings, system
from troth.agent.errors import CONFIG, AgentError
from troth.agent.settings import (
    AgentConfig,
    CertificateSettings,
    CommandSettings,
    DnsHook,
    FileKeySettings,
    IssuerSettings,
    OutputSettings,
    Pkcs11KeySettings,
    ProveCommand,
    ProveTls,
    TpmKeySettings,
    WebRoot,
    kind_of,
)
from troth.agent.spiffe import settings as spiffe
from troth.agent.survey import settings as survey

__all__ = [
    "DEFAULT_PATH",
    "DEVICE",
    "AgentConfig",
    "Identifier",
    "identifiers",
    "issuer_of",
    "load",
    "parse",
    "troubles",
]

DEFAULT_PATH = Path(system.CONFIG)

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}\Z")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
#: Identifiers of a device, which its key proves.
DEVICE = ("permanent-identifier", "hardware-module")


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name as ACME orders it: ``dns``, ``ip``, ``permanent-identifier`` or ``hardware-module``."""

    type: str
    value: str


def load(path: Path) -> AgentConfig:
    """The configuration at ``path``. Raises AgentError."""
    found = disk.read(path)
    if found is None:
        raise AgentError(CONFIG, f"there is no file {path}")
    try:
        return parse(found.decode("utf-8"))
    except UnicodeDecodeError:
        raise AgentError(CONFIG, f"{path} is not UTF-8") from None
    except AgentError as error:
        raise AgentError(CONFIG, f"{path}: {error.detail}") from error


def parse(text: str) -> AgentConfig:
    """The configuration in ``text``. Raises AgentError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AgentError(CONFIG, str(error)) from error
    except RecursionError:
        raise AgentError(CONFIG, "it is nested too deeply") from None
    try:
        config = msgspec.convert(document, AgentConfig)
    except msgspec.ValidationError as error:
        raise AgentError(CONFIG, str(error)) from error
    wrong = next(_contradictions(config), None)
    if wrong:
        raise AgentError(CONFIG, wrong)
    return config


def identifiers(names: tuple[str, ...]) -> tuple[Identifier, ...]:
    """``names`` as an order has them. Raises AgentError for one that is none."""
    return tuple(_identifier(name) for name in names)


def issuer_of(config: AgentConfig, certificate: CertificateSettings) -> tuple[str, IssuerSettings]:
    """The issuer of ``certificate``, by name. The configuration has been checked: there is one."""
    name = certificate.issuer or next(iter(config.issuer))
    return name, config.issuer[name]


def _identifier(name: str) -> Identifier:
    kind, colon, value = name.partition(":")
    if colon and kind in DEVICE:
        if not value or not value.isprintable():
            raise AgentError(CONFIG, f"{name!r} names no device")
        return Identifier(kind, value)
    try:
        return Identifier("ip", str(ipaddress.ip_address(name)))
    except ValueError:
        pass
    rest = name.removeprefix("*.").lower()
    if len(rest) > 253 or not all(_LABEL.match(label) for label in rest.split(".")):
        raise AgentError(CONFIG, f"{name!r} is neither a DNS name (A-labels) nor an IP address")
    return Identifier("dns", name.lower())


def _contradictions(config: AgentConfig) -> Iterator[str]:
    """What is wrong with it on any machine."""
    if not Path(config.agent.state).is_absolute():
        yield "agent.state is no absolute path"
    for name, issuer in config.issuer.items():
        where = f"issuer.{name}"
        if not _NAME.match(name):
            yield f"{where}: a name has a to z, 0 to 9, '.', '_' and '-'"
        if sum(map(bool, (issuer.directory, issuer.directory_file, issuer.est))) != 1:
            yield f"{where}: give one of directory, directory_file and est"
        yield from est_settings.contradictions(issuer, where)
        if issuer.directory and not _is_https(issuer.directory):
            yield f"{where}.directory is no https URL"
        if bool(issuer.eab_key_id) != bool(issuer.eab_key_file):
            yield f"{where}: eab_key_id and eab_key_file go together"
    if config.spiffe is not None:
        yield from spiffe.contradictions(config.spiffe, config.issuer, config.certificate)
    if config.survey is not None:
        yield from survey.contradictions(config.survey, config.issuer, config.certificate)
    paths: dict[str, str] = {}
    for name, certificate in config.certificate.items():
        where = f"certificate.{name}"
        if not _NAME.match(name):
            yield f"{where}: a name has a to z, 0 to 9, '.', '_' and '-'"
        yield from _contradictions_of(config, certificate, where)
        staple = (certificate.staple.path,) if certificate.staple else ()
        for path in (*(output.path for output in certificate.output), *staple):
            if not Path(path).is_absolute() or ".." in Path(path).parts:
                yield f"{where}: {path!r} is no absolute path"
            if path in paths:
                yield f"{where}: {path} is written by {paths[path]} too"
            paths[path] = where


def _is_https(url: str) -> bool:
    try:
        return urlsplit(url).scheme == "https"
    except ValueError:  # a bracket that does not close
        return False


def _contradictions_of(config: AgentConfig, certificate: CertificateSettings, where: str) -> Iterator[str]:
    if certificate.issuer and certificate.issuer not in config.issuer:
        yield f"{where}.issuer: there is no issuer.{certificate.issuer}"
    if not certificate.issuer and len(config.issuer) != 1:
        yield f"{where}.issuer: name one of {', '.join(config.issuer) or 'none that there are'}"
    asked = identifiers(certificate.names)
    if len(set(asked)) != len(asked):
        yield f"{where}.names has a name twice"
    kind = kind_of(certificate.challenge) if certificate.challenge else ""
    for one in asked:
        if one.type == "dns" and one.value.startswith("*.") and kind not in ("", "dns-01"):
            yield f"{where}: {one.value} is proved by dns-01 alone"
        if one.type == "ip" and kind == "dns-01":
            yield f"{where}: {one.value} cannot be proved by dns-01"
    by_est = bool(config.issuer) and (certificate.issuer or next(iter(config.issuer))) in config.issuer
    by_est = by_est and bool(issuer_of(config, certificate)[1].est)
    if by_est:
        yield from est_settings.contradictions_of(certificate, where)
    device = any(one.type in DEVICE for one in asked)
    if device and not by_est and not (isinstance(certificate.key, TpmKeySettings) and certificate.key.attestation_ca):
        yield f'{where}: a device is proved by a key in its TPM; give key kind "tpm" with an attestation_ca'
    if isinstance(certificate.key, TpmKeySettings) and not re.match(r"(https://.|\Z)", certificate.key.attestation_ca):
        yield f"{where}.key.attestation_ca is no https URL"
    for output in certificate.output:
        if output.form in ("bundle", "pkcs12") and not isinstance(certificate.key, FileKeySettings):
            yield f"{where}: the key stays where it is held, so there is no {output.form}"
        if output.password_file and output.form != "pkcs12":
            yield f"{where}: password_file is for pkcs12"


def troubles(config: AgentConfig) -> Iterator[str]:
    """What is wrong with it on this machine, now."""
    yield from system.troubles()
    if config.spiffe is not None:
        yield from spiffe.troubles(config.spiffe)
    for name, issuer in config.issuer.items():
        for path in filter(None, (issuer.trust, *issuer.anchors, issuer.bootstrap_certificate)):
            if not Path(path).is_file():
                yield f"issuer.{name}: there is no file {path}"
        secrets = (issuer.directory_file, issuer.eab_key_file, issuer.est_secret_file, issuer.bootstrap_key)
        for path in filter(None, secrets):
            yield from _secret_troubles(f"issuer.{name}", Path(path))
    for name, certificate in config.certificate.items():
        where = f"certificate.{name}"
        for program in _programs(certificate):
            if shutil.which(program) is None:
                yield f"{where}: there is no program {program}"
        if isinstance(certificate.challenge, WebRoot) and not Path(certificate.challenge.path).is_dir():
            yield f"{where}: there is no directory {certificate.challenge.path}"
        if isinstance(certificate.key, Pkcs11KeySettings):
            yield from _secret_troubles(where, Path(certificate.key.pin_file))
            if not Path(certificate.key.library).is_file():
                yield f"{where}: there is no library {certificate.key.library}"
        if isinstance(certificate.prove, ProveTls) and not certificate.reload:
            yield f"{where}: it is proved but nothing is reloaded; a server that reads its files only once will fail it"
        for output in certificate.output:
            yield from _output_troubles(where, output)


def _programs(certificate: CertificateSettings) -> Iterator[str]:
    staple = certificate.staple.reload if certificate.staple else None
    for one in (certificate.reload, certificate.challenge, certificate.prove, staple):
        if isinstance(one, CommandSettings | DnsHook | ProveCommand):
            yield one.command[0]


def _output_troubles(where: str, output: OutputSettings) -> Iterator[str]:
    path = Path(output.path)
    if not path.parent.is_dir():
        yield f"{where}: there is no directory {path.parent}"
    elif not os.access(path.parent, os.W_OK):
        yield f"{where}: {path.parent} cannot be written"
    if path.exists() and not path.is_symlink() and not output.copy and system.SERVES:
        yield f"{where}: {path} is a file already; move it away, or say copy = true to have it replaced"
    if output.password_file:
        yield from _secret_troubles(where, Path(output.password_file))
    try:
        owner_of(output.owner, output.group)
    except AgentError as error:
        yield f"{where}: {error.detail}"


def owner_of(owner: str, group: str) -> tuple[int, int]:
    """The numbers of a user and a group; -1 for none named. Raises AgentError for one that does not exist."""
    try:
        return system.owner(owner, group)
    except KeyError as error:
        raise AgentError(CONFIG, f"no such user or group: {error}") from None


def _secret_troubles(where: str, path: Path) -> Iterator[str]:
    try:
        why = system.others_may_read(path)
    except OSError as error:
        yield f"{where}: {path}: {error.strerror}"
        return
    if why:
        yield f"{where}: {path} is a secret, and others may read it ({why})"
