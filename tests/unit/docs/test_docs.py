"""The documents stay true: links resolve, commands, settings, codes and files that they name exist, examples parse."""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import cyclopts
import msgspec
import pytest
import yaml

from scripts.reasons import all_reasons
from troth.access.approvals.rule import parse_rule
from troth.access.roles import Permission
from troth.agent import config as agent
from troth.agent import settings as agent_settings
from troth.assembly.layout import Layout
from troth.cli.main import app
from troth.connect.definition import parse_connectors
from troth.connect.ssf.definitions import parse_streams
from troth.connect.ssf.events import TYPES as EVENT_TYPES
from troth.connect.ssf.transmitter.definitions import parse_receivers
from troth.connect.vendors import VENDORS, check
from troth.kit import config
from troth.pki.ceremony.plan import parse_plan
from troth.pki.lint_codes import CODES
from troth.pki.profile import parse_profile, shipped_profiles
from troth.radius.admission.document import parse_networks
from troth.radius.nas.definition import parse_nas
from troth.radius.places.model import parse_places
from troth.radius.proxy.definition import parse_proxies
from troth.trust.feeds.model import parse_feeds
from troth.trust.outbox.model import PORTS
from troth.trust.outbox.reactions import parse_reactions
from troth.trust.policy.grammar import parse_policy
from troth.trust.signals.model import KINDS
from troth.trust.standings.grammar import parse_rules
from troth.trust.subjects.directory import parse_directory
from troth.trust.vocabulary import VOCABULARY
from troth.web.acts import KINDS as ACTS
from troth.web.words import _SENTENCES

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "troth"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
#: Pages made from the source; tests of their own keep them equal.
MADE = {"reason-codes.md", "configuration.md"}
WRITTEN = [page for page in PAGES if page.name not in MADE]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_SPAN = re.compile(r"`([^`]+)`")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
written = pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands in backquotes; a line end inside is a space."""
    return [re.sub(r"\s+", " ", span) for span in _SPAN.findall(prose(page))]


def fences(page: Path, *languages: str) -> Iterator[str]:
    """Fenced blocks of these languages."""
    for language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield text


# --- links -----------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in (first or second for first, second in _LINK.findall(prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/**/*.md"):
        if page.name != "index.md":
            assert f"({page.relative_to(ROOT / 'docs')})" in index, page.name


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs").glob("images/*"):
        assert picture.stat().st_size < 300_000, picture.name


# --- commands --------------------------------------------------------------------------------------------------------

_IN_SHELL = re.compile(r"(?:^|[;&|(]|/bin/)\s*(troth(?: [^;&|#\n]*)?)", re.MULTILINE)


def takes(command: str) -> None:
    """Have the command line parsed, and nothing run. Raises CycloptsError for one that is wrong."""
    words = shlex.split(command.replace("%i", "web"))[1:]
    app.parse_args(words, exit_on_error=False, print_error=False)


def test_commands_are_found_and_wrong_ones_are_noticed() -> None:
    examples = "".join(fences(ROOT / "docs" / "quickstart.md", "sh"))
    assert "troth apply -f devices.yaml" in _IN_SHELL.findall(examples)
    for wrong in ("troth policy apply x.yaml", "troth demo --quick", "troth cert isue"):
        with pytest.raises(cyclopts.CycloptsError):
            takes(wrong)


@written
def test_every_command_of_an_example_is_taken_as_it_stands(page: Path) -> None:
    for block in fences(page, "sh", "ini"):
        for command in _IN_SHELL.findall(block.replace("\\\n", " ")):
            takes(command)


@written
def test_every_command_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        if not re.match(r"troth [a-z]", span):
            continue
        try:
            takes(span.replace("…", ""))
        except cyclopts.MissingArgumentError:
            continue  # named in a sentence, not written out


@written
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for text in (*spans(page), *fences(page, "sh")):
        for target in re.findall(r"(?:^|&& |\d )make ([a-z-]+)", text, re.MULTILINE):
            assert target in targets


def test_every_key_of_the_agents_configuration_is_in_its_page() -> None:
    page = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
    tables = [
        one for one in vars(agent_settings).values()
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and one.__module__ == agent_settings.__name__
    ]  # fmt: skip
    assert len(tables) > 10
    for table in tables:
        for key in msgspec.structs.fields(table):
            assert re.search(rf"[`{{\s\[]{key.encode_name}\b", page), f"{table.__name__}.{key.encode_name}"


# --- words -----------------------------------------------------------------------------------------------------------


@functools.cache
def settings() -> frozenset[str]:
    return frozenset(f"{section.name}.{one.key}" for section in config.describe() for one in section.settings)


@pages
def test_every_environment_variable_is_a_setting(page: Path) -> None:
    known = {f"TROTH__{name.upper().replace('.', '__')}" for name in settings()} | {"TROTH__SECTION__KEY"}
    assert set(re.findall(r"TROTH__[A-Z_]+", page.read_text(encoding="utf-8"))) <= known


@functools.cache
def dotted_words() -> frozenset[str]:
    known = {*settings(), *_SENTENCES, *KINDS, *VOCABULARY, *(one.value for one in Permission)}
    known |= {kind.cause for kind in KINDS.values()} | {"id.timestamp.body"}  # the last: Standard Webhooks' own words
    known |= {one.code for one in all_reasons()} | {kind.rpartition(".")[0] + ".*" for kind in KINDS}
    known |= ACTS | CODES.keys() | {system for vendor in VENDORS.values() for system in vendor.systems}
    known |= PORTS.keys() | {one.name for one in EVENT_TYPES.values()}
    return frozenset(known | {"okta.sessions.manage", "okta.users.manage", "okta.users.read"})


@written
def test_every_dotted_word_is_a_setting_a_code_a_kind_an_attribute_or_a_permission(page: Path) -> None:
    for span in spans(page):
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", span) and not _is_file_name(span):
            assert span in dotted_words(), span


def _is_file_name(text: str) -> bool:
    return text.rpartition(".")[2] in {
        "py", "md", "toml", "json", "yaml", "pem", "txt", "token", "map", "jsonl", "crl", "sealed", "partial",
    }  # fmt: skip


@written
def test_every_test_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        file, _, name = span.partition("::")
        if file.startswith("tests/") and name:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), span


@written
def test_every_source_file_that_is_named_exists(page: Path) -> None:
    if page.parent == ROOT and page.name == "CONTRIBUTING.md":
        return  # it names the files that a room may have
    for span in spans(page):
        if span.endswith(".py") and "*" not in span:
            known = (ROOT / span).exists() or (SOURCE / span).exists()
            assert known or ("/" not in span and list(SOURCE.rglob(span))), span
        elif re.fullmatch(r"[a-z_]+(/[a-z_]+)*/", span):
            layout = Layout(Path("/data"))
            data = {f"{path.name}/" for path in (layout.database, layout.keys, layout.secrets, layout.run)}
            found = (ROOT / span).is_dir() or (SOURCE / span).is_dir() or list(SOURCE.rglob(span))
            assert span in data or found, span


# --- examples --------------------------------------------------------------------------------------------------------


@pages
def test_every_shell_example_is_shell(page: Path) -> None:
    for block in fences(page, "sh"):
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


@pages
def test_every_other_example_is_what_it_says(page: Path) -> None:
    for block in fences(page, "python"):
        ast.parse(block)
    for block in fences(page, "json"):
        json.loads(block)
    for block in fences(page, "toml"):
        known, document = settings(), tomllib.loads(block)
        if document.keys() & {"issuer", "certificate"}:
            agent.parse(block)
            continue
        for section, values in document.items():
            assert {f"{section}.{key}" for key in values} <= known
    for block in fences(page, "yaml"):
        for document in block.split("\n---\n"):
            _check_yaml(document)


def _check_yaml(block: str) -> None:
    document = yaml.safe_load(block)
    if "policy" in document:
        parse_policy(block)
    elif "extended_key_usage" in document:
        parse_profile(block)
    elif "feeds" in document:
        parse_feeds(block)
    elif "connectors" in document:
        for definition in parse_connectors(block):
            check(definition)
    elif "ssf_streams" in document:
        parse_streams(block)
    elif "ssf_receivers" in document:
        parse_receivers(block)
    elif "standing" in document:
        parse_rules(block)
    elif "places" in document:
        parse_places(block)
    elif "reactions" in document:
        parse_reactions(block)
    elif "approvals" in document:
        parse_rule(block, ACTS)
    elif "proxies" in document:
        parse_proxies(block)
    elif "nas" in document:
        parse_nas(block)
    elif "networks" in document:
        parse_networks(block)
    elif "ceremony" in document:
        parse_plan(block.encode(), Path())
    else:
        parse_directory(block, at=datetime(2027, 1, 1, tzinfo=UTC))


@written
def test_every_profile_that_a_command_names_is_shipped(page: Path) -> None:
    for text in (*fences(page, "sh"), *spans(page)):
        for profile in re.findall(r"troth cert issue ([a-z-]+)", text):
            assert profile in shipped_profiles()
