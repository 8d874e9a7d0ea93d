"""From a policy file to a compiled policy. Everything that can be wrong is found here, with its line.

The grammar is in ``docs/policies.md`` and, by example, in the files of ``troth/trust/policies``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from troth.trust.cel.condition import Condition, compile_condition
from troth.trust.cel.cost import MAX_POLICY_COST
from troth.trust.cel.nodes import ExpressionError
from troth.trust.documents import DocumentError, Field, parse_document
from troth.trust.errors import POLICY_EXPRESSION, POLICY_MALFORMED, PolicyError
from troth.trust.model import Moment, Obligations, Outcome, Ruling
from troth.trust.policy.compiled import RESTRICTED, FeedDown, Policy, Rule
from troth.trust.vocabulary import OPEN_ROOTS, VOCABULARY, Attribute, Type, is_path

MAX_BYTES = 262_144
MAX_RULES = 200
MAX_CONDITIONS = 50
MAX_FEED_DOWN = timedelta(days=7)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_SESSION = ("network", "role", "vlan", "acl", "session_time")
_OBLIGATIONS = ("lifetime", "profile", "notify", "say", "approval", *_SESSION)
#: What may stand in a Filter-Id or a role of a NAS: printable ASCII, no quotes, no backslash.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,62}\Z")
#: Session-Timeout (RFC 2865, 5.27) counts seconds in 32 bits; shorter than a minute is a denial of service on oneself.
_SESSION_TIMES = (timedelta(minutes=1), timedelta(days=30))


def parse_policy(text: str, *, file: str = "policy", version: int = 0) -> Policy:
    """The policy in ``text``, compiled. Raises PolicyError with file, line and field."""
    try:
        return replace(_compiled_policy(text), version=version)
    except _BadExpression as error:
        raise PolicyError(
            POLICY_EXPRESSION, f"{file}: {error}", file=file, line=error.line, field=error.field
        ) from error
    except DocumentError as error:
        raise PolicyError(
            POLICY_MALFORMED, f"{file}: {error}", file=file, line=error.line, field=error.field
        ) from error


class _BadExpression(DocumentError):
    """A condition that does not hold up."""


@lru_cache(maxsize=64)
def _compiled_policy(text: str) -> Policy:
    """Compiled once though it is planned, applied, and taken up by what follows the stream: a policy never changes."""
    return _policy(parse_document(text, max_bytes=MAX_BYTES), text)


def _policy(top: Field, text: str) -> Policy:
    fields = top.fields(
        "description",
        "attributes",
        "feed_down",
        "standing",
        "time_zone",
        "tests",
        required=("policy", "profiles", "rules"),
    )
    attributes = _attributes(fields.get("attributes"))
    words = {**VOCABULARY, **attributes}
    feeds, default = _feed_down(fields.get("feed_down"))
    restricted, quarantined = _standing(fields.get("standing"))
    rules: list[Rule] = []
    for entry in fields["rules"].entries():
        rule = _rule(entry, words)
        if any(rule.name == other.name for other in rules):
            raise entry.wrong(f"there are two rules named {rule.name!r}")
        rules.append(rule)
    if not 0 < len(rules) <= MAX_RULES:
        raise fields["rules"].wrong(f"a policy has 1 to {MAX_RULES} rules")
    profiles = tuple(_name(entry) for entry in fields["profiles"].entries())
    if not profiles or len(set(profiles)) != len(profiles):
        raise fields["profiles"].wrong("a policy governs at least one profile, and each once")
    time_zone = _time_zone(fields["time_zone"]) if "time_zone" in fields else None
    _check_rules(fields["rules"], rules, time_zone)
    return Policy(
        name=_name(fields["policy"]),
        description=fields["description"].text() if "description" in fields else "",
        profiles=profiles,
        rules=tuple(rules),
        source=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        feeds=feeds,
        feed_default=default,
        restricted=restricted,
        quarantined=quarantined,
        attributes=attributes,
        time_zone=time_zone,
    )


def _time_zone(field: Field) -> str:
    found = field.text(limit=64)
    try:
        ZoneInfo(found)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise field.wrong(f"{found!r} is no time zone of the IANA data base, such as Europe/Berlin") from None
    return found


def _check_rules(field: Field, rules: Sequence[Rule], time_zone: str | None) -> None:
    """What concerns all rules together."""
    for moment in Moment:
        asked = [one for rule in rules if moment in rule.moments for one in rule.conditions]
        if sum(one.cost for one in asked) > MAX_POLICY_COST:
            raise field.wrong(
                f"at worst a decision at {moment.value} takes more than {MAX_POLICY_COST:,} steps: "
                f"{max(asked, key=lambda one: one.cost).name} is the dearest of its conditions"
            )
        for one in asked:
            local = next((path for path in one.paths if path.startswith("time.local_")), None)
            if local is not None and time_zone is None:
                raise field.wrong(f"{local} needs a time zone: write time_zone: Europe/Berlin beside profiles")


def _name(field: Field) -> str:
    found = field.text(limit=63)
    if not _NAME.match(found):
        raise field.wrong("a name is lower-case letters, digits, '-' and '_', and begins with a letter")
    return found


def _attributes(field: Field | None) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for path, entry in field.fields().items() if field is not None else ():
        if not is_path(path) or path.partition(".")[0] not in OPEN_ROOTS:
            raise entry.wrong(f"own attributes are named root.name, with root one of {', '.join(sorted(OPEN_ROOTS))}")
        if path in VOCABULARY:
            raise entry.wrong(f"{path} is in the vocabulary already")
        try:
            found[path] = Attribute(Type(entry.text()), "declared by the policy")
        except ValueError:
            raise entry.wrong(f"a type is one of {', '.join(kind.value for kind in Type)}") from None
    return found


def _feed_down(field: Field | None) -> tuple[dict[str, FeedDown], FeedDown]:
    feeds: dict[str, FeedDown] = {}
    default = FeedDown()
    for name, entry in field.fields().items() if field is not None else ():
        inner = entry.fields() if entry.is_mapping else {}
        if "last_standing" in inner:
            if len(inner) > 1:
                raise entry.wrong("either last_standing or one outcome")
            hours = inner["last_standing"].duration()
            if hours > MAX_FEED_DOWN:
                raise inner["last_standing"].wrong("at most 7d: what a feed said last week is no knowledge")
            made = FeedDown(hours)
        else:
            ruling = ruling_in(entry)
            if ruling.outcome is Outcome.ALLOW:
                raise entry.wrong("a feed that is down allows nothing; last_standing takes its last word for a time")
            made = FeedDown(None, ruling)
        if name == "default":
            default = made
        elif not _NAME.match(name):
            raise entry.wrong("this is no name of a feed")
        else:
            feeds[name] = made
    return feeds, default


def _standing(field: Field | None) -> tuple[Obligations, Obligations | None]:
    if field is None:
        return RESTRICTED, None
    fields = field.fields("restricted", "quarantined")
    restricted, quarantined = RESTRICTED, None
    if "restricted" in fields:
        restricted = obligations_in(fields["restricted"])
        if restricted.lifetime is None:
            raise fields["restricted"].wrong("a restricted standing gets a shorter lifetime: name it")
    if "quarantined" in fields:
        quarantined = obligations_in(fields["quarantined"])
        if quarantined.profile is None:
            raise fields["quarantined"].wrong("name the quarantine profile: profile: quarantine")
    return restricted, quarantined


def obligations_in(field: Field) -> Obligations:
    """The obligations that ``field`` names. Raises DocumentError."""
    fields = field.fields(*_OBLIGATIONS)
    return Obligations(
        lifetime=fields["lifetime"].duration() if "lifetime" in fields else None,
        profile=_name(fields["profile"]) if "profile" in fields else None,
        notify=tuple(_name(entry) for entry in fields["notify"].entries()) if "notify" in fields else (),
        say=fields["say"].text(limit=500) if "say" in fields else None,
        network=_name(fields["network"]) if "network" in fields else None,
        role=_label(fields["role"]) if "role" in fields else None,
        vlan=_vlan(fields["vlan"]) if "vlan" in fields else None,
        acl=_label(fields["acl"]) if "acl" in fields else None,
        session_time=_session_time(fields["session_time"]) if "session_time" in fields else None,
        approval=_approval(fields["approval"]) if "approval" in fields else None,
    )


def _label(field: Field) -> str:
    found = field.text(limit=63)
    if not _LABEL.match(found):
        raise field.wrong("letters, digits, spaces and ._:/@+- were expected, at most 63 of them")
    return found


def _vlan(field: Field) -> str:
    """A VLAN's number (IEEE 802.1Q: 1 to 4094), or the name that the network knows it by (RFC 3580, 3.31)."""
    if field.is_integer:
        number = field.integer()
        if not 1 <= number <= 4094:
            raise field.wrong("a VLAN has a number from 1 to 4094")
        return str(number)
    found = _label(field)
    if found.isdecimal():
        raise field.wrong("a VLAN's number stands without quotes")
    return found


def _approval(field: Field) -> timedelta:
    found = field.duration()
    if not timedelta(minutes=1) <= found <= timedelta(days=30):
        raise field.wrong("a request waits for a person from 1m to 30d")
    return found


def _session_time(field: Field) -> timedelta:
    found = field.duration()
    if not _SESSION_TIMES[0] <= found <= _SESSION_TIMES[1]:
        raise field.wrong("a session lasts from 1m to 30d")
    return found


def ruling_in(field: Field) -> Ruling:
    """The outcome that ``field`` names, alone or with obligations. Raises DocumentError."""
    if field.is_text:
        word, inner = field.text(), None
    else:
        fields = field.fields()
        if len(fields) != 1:
            raise field.wrong(f"exactly one of {', '.join(_OUTCOMES)} was expected, not {len(fields)}")
        word, inner = next(iter(fields.items()))
    outcome = _OUTCOMES.get(word)
    if outcome is None:
        raise field.wrong(f"an outcome is one of {', '.join(_OUTCOMES)}, not {word!r}")
    obligations = obligations_in(inner) if inner is not None else Obligations()
    if outcome is Outcome.DENY and obligations != Obligations(notify=obligations.notify, say=obligations.say):
        raise field.wrong("what is denied has neither lifetime nor profile, and no place in the network")
    return Ruling(outcome, obligations)


def _rule(field: Field, words: Mapping[str, Attribute]) -> Rule:
    fields = field.fields("moments", "match", "require", "else", required=("rule", "then", "unknown"))
    require = tuple(
        _condition(name, entry, words)
        for name, entry in (fields["require"].fields().items() if "require" in fields else ())
    )
    if len(require) > MAX_CONDITIONS:
        raise fields["require"].wrong(f"a rule has at most {MAX_CONDITIONS} conditions")
    then, unknown = ruling_in(fields["then"]), ruling_in(fields["unknown"])
    if unknown.outcome is Outcome.ALLOW:
        raise fields["unknown"].wrong("unknown is not good: it may restrict, quarantine or deny, never allow")
    if require and "else" not in fields:
        raise field.wrong("a rule with conditions says what happens 'else'")
    otherwise = ruling_in(fields["else"]) if "else" in fields else Ruling(Outcome.DENY)
    moments = _moments(fields.get("moments"))
    asks = any(one.obligations.approval is not None for one in (then, otherwise, unknown))
    if asks and not moments <= {Moment.ISSUE, Moment.RENEW}:
        raise field.wrong("nobody waits for a person at a connection: approval is for issue and renew")
    return Rule(
        name=_name(fields["rule"]),
        moments=moments,
        match=_compiled("match", fields["match"], words, allow_has=True) if "match" in fields else None,
        require=require,
        then=then,
        otherwise=otherwise,
        unknown=unknown,
    )


def _moments(field: Field | None) -> frozenset[Moment]:
    if field is None:
        return frozenset({Moment.ISSUE, Moment.RENEW})
    found = set()
    for entry in field.entries():
        word = entry.text()
        try:
            found.add(Moment(word))
        except ValueError:
            known = ", ".join(moment.value for moment in Moment)
            raise entry.wrong(f"a moment is one of {known}, not {word!r}") from None
    if not found:
        raise field.wrong("a rule for no moment never decides anything")
    return frozenset(found)


def _condition(name: str, entry: Field, words: Mapping[str, Attribute]) -> Condition:
    if not _NAME.match(name) or name == "match":
        raise entry.wrong("a condition's name is lower-case letters, digits, '-' and '_'")
    if not entry.is_mapping:
        return _compiled(name, entry, words)
    fields = entry.fields("fix", required=("check",))
    fix = fields["fix"].text(limit=500) if "fix" in fields else None
    return _compiled(name, fields["check"], words, fix=fix)


def _compiled(
    name: str, field: Field, words: Mapping[str, Attribute], *, allow_has: bool = False, fix: str | None = None
) -> Condition:
    # `true` alone is a YAML bool and still an expression.
    source = str(field.boolean()).lower() if field.is_boolean else field.text()
    try:
        return compile_condition(name, source, words, allow_has=allow_has, fix=fix)
    except ExpressionError as error:
        raise _BadExpression(f"{error} in {source!r}", field.line, field.path) from error
