"""The document of reactions: what it may say, and that a mistake is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.trust.outbox.errors import ReactionsInvalid
from troth.trust.outbox.model import PORTS
from troth.trust.outbox.reactions import MailTarget, parse_reactions, shipped
from troth.trust.standing import Standing

_MAIL = "- {name: soc, kind: mail, server: mx.example.com, sender: troth@example.com, to: [soc@example.com]}"


def _document(*rules: str, targets: str = _MAIL) -> str:
    return "reactions:\n" + "".join(f"  - {rule}\n" for rule in rules) + f"targets:\n  {targets}\n"


def test_the_shipped_document_tells_receivers_and_the_network_of_every_change() -> None:
    read = parse_reactions(shipped())
    for standing in Standing:
        asked = {
            step.port.name for rule in read.rules if rule.covers(standing, "device", (), ()) for step in rule.steps
        }
        assert asked == {"ssf", "disconnect" if standing is Standing.DISTRUSTED else "reauthorize"}


def test_a_rule_names_ports_with_their_targets() -> None:
    read = parse_reactions(
        _document('{when: [quarantined], then: [disconnect, "notify:soc", "crowdstrike.contain:falcon"], undo: true}')
    )
    (rule,) = read.rules
    assert [(step.port.name, step.target) for step in rule.steps] == [
        ("disconnect", "radius"), ("notify", "soc"), ("crowdstrike.contain", "falcon"),
    ]  # fmt: skip
    target = read.targets["soc"]
    assert isinstance(target, MailTarget)
    assert target.address == ("mx.example.com", 587)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (_document("{when: [quarantined], then: [explode]}"), r"reactions\[0\].then\[0\]"),
        (_document("{when: [gone], then: [ssf]}"), "gone"),
        (_document("{when: [quarantined], then: []}"), r"reactions\[0\].then"),
        (_document("{when: [quarantined], then: [notify]}"), "name the target"),
        (_document('{when: [quarantined], then: ["notify:nobody"]}'), "no 'nobody'"),
        (_document('{when: [quarantined], then: ["webhook:soc"]}'), "no target of webhook"),
        (_document('{when: [quarantined], then: ["ssf:soc"]}'), "takes no target"),
        (_document('{when: [quarantined], then: ["entra.revoke_sessions:soc"]}'), "not a connector"),
        (_document("{when: [quarantined], then: [ssf, ssf]}"), "twice"),
        (_document("{when: [quarantined], then: [ssf], undo: true}"), "taken back"),
        (_document('{when: [trusted], then: ["okta.suspend_user:okta"], undo: true}'), "trusted"),
        (_document("{when: [quarantined], then: [ssf]}", targets="- {name: x, kind: webhook, url: 'ftp://x'}"), "url"),
        (_document("{when: [quarantined], then: [ssf]}", targets="- {name: ssf, kind: vici}"), "name"),
        (_document("{when: [quarantined], then: [ssf]}", targets="- {name: x, kind: pigeon}"), "pigeon"),
        (_document("{when: [quarantined], then: [ssf]}", targets=_MAIL.replace("soc@example.com", "a\\nb@c")), "to"),
        ("reactions: 7", "array"),
        ("reactions: [", "line 2: did not find"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_and_named(document: str, told: str) -> None:
    with pytest.raises(ReactionsInvalid, match=told):
        parse_reactions(document)


def test_what_undoes_a_port_is_a_port_that_nothing_undoes() -> None:
    for port in PORTS.values():
        if port.undo:
            assert port.acting
            assert PORTS[port.undo].acting
            assert PORTS[port.undo].undo == ""
            assert PORTS[port.undo].kind == port.kind


@given(st.text())
def test_any_text_is_reactions_or_refused(text: str) -> None:
    try:
        parse_reactions(text)
    except ReactionsInvalid:
        pass
