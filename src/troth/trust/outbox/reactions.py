"""The document of reactions: which standing leads to which effect at which target. Applied whole, versioned.

    reactions:
      - when: [quarantined, distrusted]
        subjects: [device]
        then: [disconnect, "vpn.terminate:hq", "crowdstrike.contain:falcon", "notify:security"]
        undo: true
    targets:
      - name: security
        kind: mail
        …

An entry of ``then`` is a port of :data:`~troth.trust.outbox.model.PORTS`, with a target after a colon where the port
has none of its own. The target is one of this document, or a connector.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from troth.kit.strict_yaml import YamlRefused, load_yaml
from troth.trust.outbox.errors import REACTIONS_INVALID, ReactionsInvalid
from troth.trust.outbox.model import PORTS, Port
from troth.trust.standing import Standing

_MAX_TEXT: Final = 262_144
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")

_Name = Annotated[str, Meta(max_length=63)]
_Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
_Rate = Annotated[int, Meta(ge=1, le=100_000)]


class _Target(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every target has.

    Attributes:
        per_minute: effects that are sent to it in a minute at most, by each worker.
    """

    name: _Name
    per_minute: _Rate = 600


class WebhookTarget(_Target, frozen=True, kw_only=True, tag="webhook"):
    """A receiver of signed webhooks (Standard Webhooks 1.0)."""

    url: _Url


class MailTarget(_Target, frozen=True, kw_only=True, tag="mail"):
    """People, by mail.

    Attributes:
        server: ``host`` or ``host:port`` (587, or 465 with ``tls: always``).
        tls: ``starttls`` (required, never tried and done without), ``always``, or ``off``.
        user: name to log in with; the password is the target's secret.
    """

    server: Annotated[str, Meta(min_length=1, max_length=260)]
    sender: Annotated[str, Meta(max_length=254)]
    to: Annotated[tuple[Annotated[str, Meta(max_length=254)], ...], Meta(min_length=1, max_length=50)]
    tls: Literal["starttls", "always", "off"] = "starttls"
    user: Annotated[str, Meta(max_length=254)] = ""
    per_minute: _Rate = 30

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.server.partition(":")
        return host, int(port) if port else (465 if self.tls == "always" else 587)


class ChatTarget(_Target, frozen=True, kw_only=True, tag="chat"):
    """People, in a chat room, by its incoming webhook. The address is the target's secret: who has it can write there.

    Attributes:
        style: whose JSON: ``slack`` (Mattermost, Rocket.Chat and Zulip take it too), ``teams``, ``google``.
    """

    style: Literal["slack", "teams", "google"] = "slack"
    per_minute: _Rate = 30


class ViciTarget(_Target, frozen=True, kw_only=True, tag="vici"):
    """A strongSwan gateway on this machine.

    Attributes:
        socket: path of charon's VICI socket.
        identities: what a peer is known by there: the subject's DNS names, its name, its e-mail address or UPN.
    """

    socket: Annotated[str, Meta(pattern=r"\A/[^\x00]{1,100}\Z")] = "/run/charon.vici"
    identities: Annotated[
        tuple[Literal["names", "name", "email", "upn"], ...], Meta(min_length=1, max_length=4)
    ] = ("names", "name", "email", "upn")  # fmt: skip


Target: TypeAlias = WebhookTarget | MailTarget | ChatTarget | ViciTarget

#: Kind of target → the ``kind`` of port that it serves.
_SERVES: Final = {WebhookTarget: "webhook", MailTarget: "notify", ChatTarget: "notify", ViciTarget: "vici"}


class _Rule(Struct, frozen=True, forbid_unknown_fields=True):
    when: Annotated[
        tuple[Literal["trusted", "restricted", "quarantined", "distrusted"], ...], Meta(min_length=1, max_length=4)
    ]
    then: Annotated[tuple[Annotated[str, Meta(max_length=130)], ...], Meta(min_length=1, max_length=20)]
    subjects: Annotated[tuple[Literal["device", "user", "workload"], ...], Meta(min_length=1)] = (
        "device", "user", "workload",
    )  # fmt: skip
    groups: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    feeds: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    undo: bool = False


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    reactions: Annotated[tuple[_Rule, ...], Meta(max_length=200)]
    targets: Annotated[tuple[Target, ...], Meta(max_length=100)] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One effect that a rule asks for."""

    port: Port
    target: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """One rule.

    Attributes:
        when: entering one of these standings, from whichever side.
        groups, feeds: if there are any, one of the subject's groups, or of the feeds with an open cause, is among them.
        undo: what has an opposite is taken back when the subject stands better and no rule asks for it any more.
    """

    when: frozenset[Standing]
    subjects: frozenset[str]
    groups: frozenset[str]
    feeds: frozenset[str]
    steps: tuple[Step, ...]
    undo: bool

    def covers(self, standing: Standing, kind: str, groups: Collection[str], feeds: Collection[str]) -> bool:
        """Whether it speaks of such a subject in that standing."""
        return (
            standing in self.when
            and kind in self.subjects
            and (not self.groups or not self.groups.isdisjoint(groups))
            and (not self.feeds or not self.feeds.isdisjoint(feeds))
        )


@dataclass(frozen=True, slots=True)
class Reactions:
    """The document, read."""

    rules: tuple[Reaction, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=dict)
    version: int = 0


def parse_reactions(source: str | Mapping[str, Any], *, version: int = 0) -> Reactions:
    """Reactions from YAML (or from what was parsed already). Raises ReactionsInvalid, naming the field."""
    document: Any = source
    if isinstance(source, str):
        try:
            document = load_yaml(source, max_bytes=_MAX_TEXT)
        except YamlRefused as error:
            raise ReactionsInvalid(REACTIONS_INVALID, str(error)) from error
    try:
        read = msgspec.convert(document, _Document)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ReactionsInvalid(REACTIONS_INVALID, str(error)[:300]) from error
    targets: dict[str, Target] = {}
    for place, target in enumerate(read.targets):
        _check(target, f"targets[{place}]", targets)
        targets[target.name] = target
    rules = tuple(_rule(rule, f"reactions[{place}]", targets) for place, rule in enumerate(read.reactions))
    return Reactions(rules, targets, version)


def shipped() -> str:
    """The document that is in force until another is applied."""
    return resources.files("troth.trust.outbox").joinpath("reactions.yaml").read_text(encoding="utf-8")


def _refuse(field: str, what: str) -> ReactionsInvalid:
    return ReactionsInvalid(REACTIONS_INVALID, f"{field}: {what}", field=field)


def _rule(rule: _Rule, place: str, targets: Mapping[str, Target]) -> Reaction:
    steps = []
    for number, text in enumerate(rule.then):
        field = f"{place}.then[{number}]"
        name, colon, target = text.partition(":")
        port = PORTS.get(name)
        if port is None:
            raise _refuse(field, f"{name[:80]!r} is no effect; there are {', '.join(PORTS)}")
        if not port.kind:
            if colon:
                raise _refuse(field, f"{name} takes no target")
            target = port.target
        else:
            _belongs(port, target, field, targets)
        steps.append(Step(port, target))
    if len(set(steps)) != len(steps):
        raise _refuse(f"{place}.then", "the same effect twice")
    if rule.undo and not any(step.port.undo for step in steps):
        raise _refuse(f"{place}.undo", "nothing here can be taken back")
    if rule.undo and "trusted" in rule.when:
        raise _refuse(f"{place}.undo", "what is done to trusted subjects cannot wait for their getting better")
    return Reaction(
        frozenset(Standing(one) for one in rule.when), frozenset(rule.subjects), frozenset(rule.groups),
        frozenset(rule.feeds), tuple(steps), rule.undo,
    )  # fmt: skip


def _belongs(port: Port, target: str, field: str, targets: Mapping[str, Target]) -> None:
    """Raise unless ``target`` can be one of ``port``. Whether there is such a connector shows when it is used."""
    if not _NAME.match(target):
        raise _refuse(field, f"name the target after a colon: {port.name}:NAME")
    known = targets.get(target)
    if port.kind == "connector":
        if known is not None:
            raise _refuse(field, f"{target} is a target of this document, not a connector")
    elif known is None:
        raise _refuse(field, f"there is no {target!r} under targets")
    elif _SERVES[type(known)] != port.kind:
        raise _refuse(field, f"{target} is no target of {port.name}")


def _check(target: Target, place: str, known: Mapping[str, Target]) -> None:
    reserved = {port.target for port in PORTS.values()}
    if not _NAME.match(target.name) or target.name in reserved:
        raise _refuse(f"{place}.name", "lower-case letters, digits and hyphens, at most 63, beginning with a letter")
    if target.name in known:
        raise _refuse(f"{place}.name", f"{target.name} is defined twice")
    if isinstance(target, WebhookTarget):
        parts = _split(target.url)
        if parts is None or parts[0] not in ("https", "http"):
            raise _refuse(f"{place}.url", "an https:// address without user name and fragment")
    if isinstance(target, MailTarget):
        _check_mail(target, place)


def _split(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.fragment or not url.isascii() or any(c <= " " for c in url):
        return None
    return parts.scheme, host


def _check_mail(target: MailTarget, place: str) -> None:
    host, colon, port = target.server.partition(":")
    if not _HOST.match(host) or (colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)):
        raise _refuse(f"{place}.server", "a host name, and perhaps :PORT")
    for which, address in (("sender", target.sender), *(("to", one) for one in target.to)):
        if not _ADDRESS.match(address):
            raise _refuse(f"{place}.{which}", f"{address[:80]!r} is no mail address")
    if target.tls == "off" and target.user:
        raise _refuse(f"{place}.tls", "a password is not sent in the clear")
