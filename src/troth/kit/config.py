"""Configuration: ``troth.toml`` and ``TROTH__SECTION__KEY`` variables in, one frozen :class:`Config` out.

The order, later wins: the defaults in :mod:`troth.kit.settings`, the file, the environment. A key that does not
exist is refused with the nearest one that does, since a misspelt limit that is silently ignored is no limit.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import inspect as shape

from troth.kit.acme_settings import AcmeDirectory, AcmeVantage
from troth.kit.attest_settings import DirectoryAttestation
from troth.kit.errors import TrothError, reason
from troth.kit.place_settings import SiteSettings
from troth.kit.settings import Config, CustodianSettings
from troth.kit.token_settings import TokenIssuer, TokenRule

FILE_NAME = "troth.toml"
ENV_PREFIX = "TROTH__"
#: In place of a default: the key must be given.
REQUIRED: Final = "required"

UNREADABLE = reason(
    "config.unreadable",
    "the configuration file cannot be read",
    fix="Make the file readable for the user that runs Troth, and valid UTF-8.",
)
SYNTAX = reason(
    "config.syntax", "the configuration file is not valid TOML", fix="Mend the line that the message names."
)
UNKNOWN_KEY = reason(
    "config.unknown_key",
    "the configuration has a key that Troth does not know",
    fix="See `troth config reference` for every key; a misspelt one is refused so that it is not silently ignored.",
)
BAD_VALUE = reason(
    "config.bad_value",
    "a setting has a value that it cannot take",
    fix="See `troth config reference` for its type, unit and bounds.",
)


class ConfigError(TrothError):
    """The configuration is refused as a whole; nothing of it is used."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the reference says about one key."""

    section: str
    key: str
    type_name: str
    default: object
    unit: str
    bounds: str
    description: str
    secret: bool

    @property
    def name(self) -> str:
        """``section.key``."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides the file."""
        return f"{ENV_PREFIX}{self.section}__{self.key}".upper()


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the reference; ``kind`` is of a named table that says ``kind = "…"``."""

    name: str
    about: str
    settings: tuple[Setting, ...]
    kind: str = ""


def load(data_dir: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration for ``data_dir``; a missing file means defaults. Raises ConfigError."""
    return parse(_read(data_dir / FILE_NAME), environ)


def parse(text: str, environ: Mapping[str, str]) -> Config:
    """The configuration in ``text`` (TOML) and ``environ``. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(SYNTAX, f"{FILE_NAME}: {error}") from error
    known = {section.name: {setting.key: setting for setting in section.settings} for section in describe()}
    values: dict[str, dict[str, Any]] = {name: {} for name in known}
    for setting, value, source in (*_from_file(document, known), *_from_environment(environ, known)):
        values[setting.section][setting.key] = _convert(setting, value, source)
    types = {f.name: f.type for f in msgspec.structs.fields(Config)}
    return Config(**{name: types[name](**section) for name, section in values.items()})


def describe() -> tuple[Section, ...]:
    """Every section and key, in the order of :class:`Config`."""
    found = []
    for section in msgspec.structs.fields(Config):
        settings = tuple(_setting(section.name, key) for key in msgspec.structs.fields(section.type))
        found.append(Section(section.name, " ".join((section.type.__doc__ or "").split()), settings))
    return tuple(found)


def describe_tables() -> tuple[Section, ...]:
    """What named tables hold, as sections of the reference: ``signer.custodians.NAME``, ``acme.directories.NAME``."""
    tables: list[tuple[str, type[msgspec.Struct]]] = [
        ("acme.directories.NAME", AcmeDirectory),
        ("attest.directories.NAME", DirectoryAttestation),
        ("acme.vantages.NAME", AcmeVantage),
    ]
    tables += [("tokens.issuers.NAME", kind) for kind in get_args(TokenIssuer)]
    tables += [("tokens.issuers.NAME.rules.RULE", TokenRule)]
    tables += [("places.sites.NAME", SiteSettings)]
    tables += [("signer.custodians.NAME", kind) for kind in get_args(CustodianSettings)]
    return tuple(
        Section(
            name,
            " ".join((kind.__doc__ or "").split()),
            tuple(_setting(name, key) for key in msgspec.structs.fields(kind)),
            kind=str(kind.__struct_config__.tag or ""),
        )
        for name, kind in tables
    )


def public_values(config: Config) -> dict[str, dict[str, object]]:
    """``config`` as plain values with passwords blotted out: safe to print."""
    plain: dict[str, dict[str, object]] = msgspec.to_builtins(config)
    for section in describe():
        for setting in section.settings:
            if setting.secret:
                plain[section.name][setting.key] = _without_password(str(plain[section.name][setting.key]))
    return plain


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(UNREADABLE, f"{path}: {error}") from error


_Known = Mapping[str, Mapping[str, Setting]]


def _from_file(document: Mapping[str, Any], known: _Known) -> Iterator[tuple[Setting, Any, str]]:
    for section, content in document.items():
        if section not in known:
            raise ConfigError(UNKNOWN_KEY, f"{FILE_NAME}: no section [{section}]{_nearest(section, known)}")
        if not isinstance(content, dict):
            raise ConfigError(BAD_VALUE, f"{FILE_NAME}: {section} is a section: write [{section}]")
        for key, value in content.items():
            if key not in known[section]:
                names = [setting.name for keys in known.values() for setting in keys.values()]
                raise ConfigError(
                    UNKNOWN_KEY, f"{FILE_NAME}: no key {section}.{key}{_nearest(f'{section}.{key}', names)}"
                )
            yield known[section][key], value, FILE_NAME


def _from_environment(environ: Mapping[str, str], known: _Known) -> Iterator[tuple[Setting, Any, str]]:
    variables = {setting.variable: setting for keys in known.values() for setting in keys.values()}
    for name, text in sorted(environ.items()):
        if not name.upper().startswith(ENV_PREFIX):
            continue
        setting = variables.get(name.upper())
        if setting is None:
            raise ConfigError(UNKNOWN_KEY, f"no setting {name}{_nearest(name.upper(), variables)}")
        yield setting, _from_text(text, setting), f"variable {setting.variable}"


def _from_text(text: str, setting: Setting) -> object:
    """A variable's text in the shape of its setting; what does not fit is left to the type check."""
    if setting.type_name == "boolean":
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower(), text)
    if setting.type_name == "integer":
        return int(text) if text.strip().lstrip("-").isdecimal() else text
    if setting.type_name == "list of strings":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _convert(setting: Setting, value: object, source: str) -> object:
    types = {f.name: f.type for f in msgspec.structs.fields(Config)}
    of_key = next(f for f in msgspec.structs.fields(types[setting.section]) if f.name == setting.key)
    try:
        return msgspec.convert(value, of_key.type)
    except msgspec.ValidationError as error:
        # A secret's value must not reach a log by way of the message, so the message names only what is wanted.
        raise ConfigError(BAD_VALUE, f"{setting.name} ({source}): {error}") from error


def _nearest(wrong: str, names: object) -> str:
    close = difflib.get_close_matches(wrong, list(names), n=1, cutoff=0.5)  # type: ignore[call-overload]
    return f"; did you mean {close[0]}?" if close else ""


def _setting(section: str, key: msgspec.structs.FieldInfo) -> Setting:
    node = shape.type_info(key.type)
    extra: dict[str, Any] = {}
    description = ""
    if isinstance(node, shape.Metadata):
        extra = node.extra or {}
        description = str((node.extra_json_schema or {}).get("description", ""))
        node = node.type
    return Setting(
        section=section,
        key=key.name,
        type_name=_type_name(node),
        default=_default(key),
        unit=str(extra.get("unit", "")),
        bounds=_bounds(node),
        description=description,
        secret=bool(extra.get("secret")),
    )


def _default(key: msgspec.structs.FieldInfo) -> object:
    """The key's default; :data:`REQUIRED` when it has none."""
    if key.default is not msgspec.NODEFAULT:
        return key.default
    return REQUIRED if key.default_factory is msgspec.NODEFAULT else key.default_factory()


def _type_name(node: shape.Type) -> str:
    match node:
        case shape.DictType(value_type=value):
            return "table of strings" if isinstance(value, shape.StrType) else "tables"
        case shape.BoolType():
            return "boolean"
        case shape.IntType():
            return "integer"
        case shape.StrType():
            return "string"
        case shape.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case shape.VarTupleType():
            return "list of strings"
    raise TypeError(f"a setting cannot be a {node}")


def _bounds(node: shape.Type) -> str:
    if not isinstance(node, shape.IntType):
        return ""
    least, most = node.ge, node.le
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"at least {least}" if least is not None else ""


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:[redacted]@{host}"))
