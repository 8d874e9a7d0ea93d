from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import structs

from tests.unit.radius.admission.world import AT, ISSUING, POLICY, World, issue
from troth.radius.admission.model import EkuRule, StalePolicy, Unsettled
from troth.trust.model import Outcome


@pytest.fixture
def world() -> World:
    return World()


def test_a_healthy_device_is_let_in_under_the_name_in_its_certificate(world: World) -> None:
    device = world.device()
    verdict = world.decider.decide(world.attempt(device))
    assert (verdict.outcome, verdict.place.name, verdict.user_name) == (Outcome.ALLOW, "staff", "laptop-1.corp.example")
    assert len(verdict.class_) == 16
    assert verdict.certificate_id == device.row.id


def test_a_session_ends_when_what_was_seen_is_too_old_to_be_believed(world: World) -> None:
    device = world.device(seen=AT - timedelta(hours=22))
    verdict = world.decider.decide(world.attempt(device))
    assert verdict.session_time == timedelta(hours=2)


def test_a_session_does_not_outlive_its_certificate(world: World) -> None:
    device = world.device(ends=AT + timedelta(minutes=30))
    assert world.decider.decide(world.attempt(device)).session_time == timedelta(minutes=30)


def test_a_device_that_is_not_compliant_is_quarantined_in_a_place_of_its_own(world: World) -> None:
    verdict = world.decider.decide(world.attempt(world.device(compliant=False)))
    assert (verdict.outcome, verdict.place.name, verdict.say) == (Outcome.QUARANTINE, "healing", "Mend it first.")


def test_without_a_place_of_its_own_nobody_is_quarantined_into_the_port_s_own_network(world: World) -> None:
    world.set_network(world.network, places=())
    verdict = world.decider.decide(world.attempt(world.device(compliant=False)))
    assert (verdict.outcome, verdict.reason) == (Outcome.DENY, "radius.admission.nowhere")


@pytest.mark.parametrize(
    ("standing", "outcome"),
    [("restricted", Outcome.RESTRICT), ("quarantined", Outcome.QUARANTINE), ("distrusted", Outcome.DENY)],
)
def test_no_outcome_is_above_the_standing(world: World, standing: str, outcome: Outcome) -> None:
    device = world.device()
    world.standing(device, standing, 1)
    assert world.decider.decide(world.attempt(device)).outcome is outcome


def test_an_older_standing_that_arrives_late_changes_nothing(world: World) -> None:
    device = world.device()
    world.standing(device, "distrusted", 2)
    world.standing(device, "trusted", 1)
    assert world.decider.decide(world.attempt(device)).outcome is Outcome.DENY


def test_a_certificate_that_only_its_subject_s_quarantine_holds_completes_and_is_quarantined(world: World) -> None:
    device = world.device()
    world.standing(device, "quarantined", 1)
    world.status(device, "held", "held", 1, (f"standing:{device.subject.id}",))
    assert world.decider.decide(world.attempt(device)).outcome is Outcome.QUARANTINE


def test_one_that_a_person_holds_is_refused_and_let_in_again_when_it_is_released(world: World) -> None:
    device = world.device()
    world.status(device, "held", "held", 1, ("admin:alice",))
    held = world.decider.decide(world.attempt(device))
    assert (held.outcome, held.reason, held.hard) == (Outcome.DENY, "trust.connect.certificate_held", True)
    world.status(device, "released", "good", 2)
    assert world.decider.decide(world.attempt(device)).outcome is Outcome.ALLOW


def test_a_hold_by_a_standing_that_is_not_known_yet_lets_nobody_in(world: World) -> None:
    device = world.device()
    world.clock.advance(timedelta(seconds=30))
    world.status(device, "held", "held", 1, (f"standing:{device.subject.id}",))
    with pytest.raises(Unsettled):
        world.decider.decide(world.attempt(device))
    # Read again, and still so: then the hold counts by itself.
    world.put(replace(device, row=device.row))
    assert world.decider.decide(world.attempt(device)).reason == "trust.connect.certificate_held"


def test_a_revoked_one_is_refused_at_once_even_while_its_subject_is_not_settled(world: World) -> None:
    device = world.device()
    world.told("cause.raised", f"subject:{device.subject.id}")
    with pytest.raises(Unsettled):
        world.decider.decide(world.attempt(device))
    world.status(device, "revoked", "revoked", 1)
    assert world.decider.decide(world.attempt(device)).reason == "trust.connect.certificate_revoked"


def test_what_an_authority_s_stolen_key_signs_is_not_admitted(world: World) -> None:
    forged = issue("laptop-9", ISSUING, begins=AT - timedelta(days=1)).public_bytes(Encoding.DER)
    verdict = world.decider.decide(world.attempt(forged))
    assert (verdict.outcome, verdict.reason) == (Outcome.DENY, "trust.connect.certificate_unknown")
    assert verdict.hard


def test_a_young_one_is_waited_for_and_refused_if_its_birth_is_not_told(world: World) -> None:
    young = world.device(put=False, begins=AT - timedelta(minutes=1))
    with pytest.raises(Unsettled) as caught:
        world.decider.decide(world.attempt(young))
    assert caught.value.otherwise is not None
    assert caught.value.otherwise.outcome is Outcome.DENY
    world.told(
        "certificate.issued", certificate_id=str(young.row.id), profile="wifi-device", status="good",
        status_version=0, sha256=young.row.sha256.hex(),
    )  # fmt: skip
    with pytest.raises(Unsettled) as caught:
        world.decider.decide(world.attempt(young))
    assert caught.value.otherwise is None
    world.put(young)
    assert world.decider.decide(world.attempt(young)).outcome is Outcome.ALLOW


def test_a_web_server_s_certificate_with_client_auth_is_not_admitted(world: World) -> None:
    both = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
    device = world.device(profile="mutual-tls", usages=both)
    verdict = world.decider.decide(world.attempt(device))
    assert (verdict.outcome, verdict.reason) == (Outcome.DENY, "radius.admission.profile")


@pytest.mark.parametrize(
    ("usages", "rule", "admitted"),
    [
        ((ExtendedKeyUsageOID.SERVER_AUTH,), EkuRule.UNSTATED, False),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), EkuRule.CLIENT_AUTH, False),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), EkuRule.ANY, True),
        (None, EkuRule.ANY, False),
        (None, EkuRule.UNSTATED, True),
    ],
)
def test_the_extended_key_usage_is_as_the_network_asks(world: World, usages, rule, admitted) -> None:  # type: ignore[no-untyped-def]
    world.set_network(world.network, eku=rule)
    verdict = world.decider.decide(world.attempt(world.device(usages=usages)))
    assert verdict.admitted is admitted
    if not admitted:
        assert verdict.reason == "radius.admission.chain"


def test_a_chain_to_an_anchor_of_somebody_else_is_refused_with_what_was_found(world: World) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    fake = issue("Issuing", None, ca=True, key=stranger, signer=stranger)
    leaf = issue("laptop-1", fake, signer=stranger).public_bytes(Encoding.DER)
    verdict = world.decider.decide(world.attempt(leaf))
    assert verdict.reason == "radius.admission.chain"
    assert "signature" in verdict.detail


def test_a_path_is_found_though_the_supplicant_sends_nothing_but_its_certificate(world: World) -> None:
    device = world.device()
    attempt = world.attempt(device)
    assert attempt.facts is not None
    alone = structs.replace(attempt, facts=replace(attempt.facts, chain=(device.der,)))  # type: ignore[type-var]
    assert world.decider.decide(alone).outcome is Outcome.ALLOW


def test_a_resumed_session_is_decided_like_any_other(world: World) -> None:
    device = world.device()
    attempt = world.attempt(device)
    assert attempt.facts is not None
    resumed = structs.replace(attempt, facts=replace(attempt.facts, resumed=True))  # type: ignore[type-var]
    assert world.decider.decide(resumed).outcome is Outcome.ALLOW
    world.standing(device, "distrusted", 1)
    assert world.decider.decide(resumed).outcome is Outcome.DENY


def test_an_expired_certificate_is_refused(world: World) -> None:
    device = world.device(ends=AT + timedelta(hours=1))
    assert world.decider.decide(world.attempt(device)).admitted
    world.clock.advance(timedelta(hours=2))
    assert world.decider.decide(world.attempt(device)).reason == "trust.connect.certificate_expired"


def test_a_worker_without_a_lease_lets_nobody_in(world: World) -> None:
    device = world.device()
    world.lease.lapse()
    verdict = world.decider.decide(world.attempt(device))
    assert (verdict.outcome, verdict.reason) == (Outcome.DENY, "radius.admission.stale")


def test_a_network_may_go_on_without_a_lease_for_a_bounded_time_and_it_is_marked(world: World) -> None:
    world.set_network(world.network, stale=StalePolicy.RESTRICT, stale_for=timedelta(minutes=10))
    device = world.device()
    assert not world.decider.decide(world.attempt(device)).stale
    world.lease.lapse()
    verdict = world.decider.decide(world.attempt(device))
    assert (verdict.outcome, verdict.stale, verdict.place.name) == (Outcome.RESTRICT, True, "limited")
    world.clock.advance(timedelta(minutes=11))
    assert world.decider.decide(world.attempt(device)).outcome is Outcome.DENY


def test_what_is_joined_without_a_network_is_refused(world: World) -> None:
    verdict = world.decider.decide(world.attempt(world.device(), network=None))
    assert verdict.reason == "radius.admission.no_network"


def test_an_accept_does_not_leave_once_something_has_come_in_between(world: World) -> None:
    device = world.device()
    attempt = world.attempt(device)
    verdict = world.decider.decide(attempt)
    assert world.decider.holds(attempt, verdict)
    world.standing(device, "restricted", 1)
    assert not world.decider.holds(attempt, verdict)


def test_an_accept_leaves_though_something_else_has_changed(world: World) -> None:
    device = world.device()
    attempt = world.attempt(device)
    verdict = world.decider.decide(attempt)
    world.set_network(world.network, version=2)
    assert world.decider.holds(attempt, verdict)
    world.lease.lapse()
    assert not world.decider.holds(attempt, verdict)


def test_without_a_lease_no_accept_leaves_but_one_that_was_decided_by_the_stale_policy(world: World) -> None:
    world.set_network(world.network, stale=StalePolicy.CONTINUE, stale_for=timedelta(minutes=10))
    attempt = world.attempt(world.device())
    current = world.decider.decide(attempt)
    world.lease.lapse()
    old = world.decider.decide(attempt)
    assert not world.decider.holds(attempt, current)
    assert old.stale
    assert world.decider.holds(attempt, old)
    world.clock.advance(timedelta(minutes=11))
    assert not world.decider.holds(attempt, old)


def test_a_quarantine_certificate_is_judged_by_the_policy_that_gave_it_and_never_better_than_quarantine(
    world: World,
) -> None:
    world.policies.set(POLICY.replace("[wifi-device, quarantine]", "[wifi-device]"))
    healed = world.decider.decide(world.attempt(world.device("healed", profile="quarantine")))
    assert (healed.outcome, healed.place.name) == (Outcome.QUARANTINE, "healing")
    assert [decision.policy for decision, _ in healed.decisions] == ["wifi"]
    world.policies.set(POLICY.replace("[wifi-device, quarantine]", "[other]"))
    assert world.decider.decide(world.attempt(world.device("alone", profile="quarantine"))).outcome is Outcome.DENY
