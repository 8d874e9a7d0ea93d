"""``troth config``: check the configuration, and print the reference of every setting."""

from __future__ import annotations

import json

import msgspec
from cyclopts import App

from troth.assembly.layout import Layout, default_data_dir
from troth.cli.options import Data, Output
from troth.kit import config as configuration
from troth.kit.config import Section, Setting
from troth.kit.settings import Config

app = App(name="config", help="The configuration.", help_format="plaintext")

_INTRODUCTION = """\
# Configuration

<!-- Made by `troth config reference`; a test keeps it equal. Describe settings in src/troth/kit/settings.py. -->

Troth reads `troth.toml` in its data directory, if there is one. Every setting has a default that is good for a trial
on one machine. An environment variable `TROTH__SECTION__KEY` overrides the file; lists are written with commas there.
A key that does not exist is refused. `troth config check` says what is in force.
"""


@app.command
def check(*, data: Data = None, output: Output = "text") -> int:
    """Read the configuration and say whether it is good; with `-o json`, print what is in force."""
    layout = Layout.at(data or default_data_dir())
    values = configuration.public_values(configuration.load(layout.root))
    if output == "json":
        print(json.dumps(values, indent=2))
        return 0
    changed = [
        f"  {setting.name} = {json.dumps(values[setting.section][setting.key])}"
        for section in configuration.describe()
        for setting in section.settings
        if _plain(values[setting.section][setting.key]) != _plain(setting.default)
    ]
    where = layout.config_file if layout.config_file.exists() else f"no {layout.config_file}"
    print(f"The configuration is good ({where}).")
    print("\n".join(["Changed from the defaults:", *changed]) if changed else "Everything is at its default.")
    for warning in warnings(configuration.load(layout.root)):
        print(f"Note: {warning}")
    return 0


def warnings(config: Config) -> list[str]:
    """What is allowed, and worth a second thought."""
    found = [
        f"the ACME directory {name} is open: whoever reaches it gets an account. Its certificates still need proof."
        for name, directory in config.acme.directories.items()
        if directory.requires == "nothing"
    ]
    nameless = not config.acme.issuer_domains
    found += [
        f"the ACME directory {name} looks at CAA records, and without acme.issuer_domains none of them can allow it."
        for name, directory in config.acme.directories.items()
        if directory.caa and nameless
    ]
    found += [
        f"the ACME directory {name} offers dns-persist-01, which takes acme.issuer_domains: it is left out."
        for name, directory in config.acme.directories.items()
        if "dns-persist-01" in directory.challenges and nameless
    ]
    if config.acme.vantages and config.acme.quorum == 0:
        found.append("no further vantage point needs to agree: acme.quorum is 0.")
    if config.acme_test.enabled:
        found.append("ACME is in test mode: never on a server in use.")
    if not config.limits.enabled:
        found.append("no limit counts, and clients that never succeed are not paused.")
    return found


@app.command
def reference(*, output: Output = "text") -> int:
    """Print every setting with its type, unit, bounds and default, as Markdown."""
    sections = configuration.describe()
    print(_as_json(sections) if output == "json" else markdown(sections), end="")
    return 0


def markdown(sections: tuple[Section, ...]) -> str:
    """The reference page."""
    parts = [_INTRODUCTION]
    for section in (*sections, *configuration.describe_tables()):
        kind = f', kind = "{section.kind}"' if section.kind else ""
        parts.append(f"## [{section.name}]{kind}\n\n{section.about.replace('``', '`')}\n")
        rows = ["| key | type | default | |", "| --- | --- | --- | --- |"]
        rows += [
            f"| `{one.key}` | {_type(one)} | {_told(one.default)} | {one.description} |" for one in section.settings
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _told(default: object) -> str:
    return default if default is configuration.REQUIRED else f"`{json.dumps(_plain(default))}`"


def _type(one: Setting) -> str:
    return ", ".join(filter(None, (f"{one.type_name}{f' ({one.unit})' if one.unit else ''}", one.bounds)))


def _as_json(sections: tuple[Section, ...]) -> str:
    return json.dumps(
        [
            {
                "name": one.name,
                "variable": one.variable,
                "type": one.type_name,
                "unit": one.unit,
                "bounds": one.bounds,
                "default": _plain(one.default),
                "description": one.description,
            }
            for section in sections
            for one in section.settings
        ],
        indent=2,
    )


def _plain(value: object) -> object:
    return msgspec.to_builtins(value)
