"""A device joins by EAP-TLS: both versions, full and resumed, admitted and not, with the alerts that it is told."""

from __future__ import annotations

import pytest

from tests.support.supplicants import (
    CLIENT,
    OPENING,
    SERVER_USE,
    Holder,
    Joined,
    Supplicant,
    certify,
    eap_server,
    lab,
    status_of,
)
from troth.radius.eap import contexts as contexts_module
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.errors import (
    DENIED,
    EXPIRED,
    NO_PEER_CERTIFICATE,
    PEER_ALERT,
    REFUSED_LEAF,
    REVOKED,
    TOO_LONG,
    UNKNOWN_CA,
    WRONG_PURPOSE,
)
from troth.radius.eap.model import Fail, Opening, Succeed
from troth.radius.eap.settings import EapLimits

VERSIONS = ("1.2", "1.3")


def let_in(joined: Joined) -> Succeed:
    """The device is in, and both sides hold the same keys."""
    assert isinstance(joined.step, Succeed), joined.step
    assert joined.step.msk + joined.step.emsk == joined.keys
    assert joined.step.eap == bytes((3, joined.requests[-1][1], 0, 4))
    return joined.step


def refused(joined: Joined) -> Fail:
    """The device is out: EAP-Failure answers its last response."""
    assert isinstance(joined.step, Fail), joined.step
    assert joined.step.eap == bytes((4, joined.requests[-1][1], 0, 4))
    assert not joined.protected
    return joined.step


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_proves_itself_and_both_sides_have_the_same_keys(version: str) -> None:
    joined = Supplicant(lab().client, version).join(eap_server())
    success = let_in(joined)
    assert joined.protected is (version == "1.3")
    assert success.session_id[:1] == b"\x0d"
    assert len(success.session_id) == 65
    facts = success.conversation.facts
    assert (facts.tls_version, facts.resumed, facts.identity) == (version, False, "laptop@corp.test")
    assert facts.chain == (lab().client.der, lab().issuing.der)
    assert facts.sha256 == lab().client.sha256
    assert facts.group == "x25519"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed_with_the_leaf_of_its_ticket_and_is_decided_again(version: str) -> None:
    server, device = eap_server(), Supplicant(lab().client, version)
    first, second = device.join(server), device.join(server)
    let_in(first)
    let_in(second)
    assert second.resumed
    assert second.trips < first.trips
    assert len(second.proved) == 1
    facts = second.proved[0].conversation.facts
    assert facts.resumed
    assert facts.chain == (lab().client.der, lab().issuing.der)
    denied = refused(device.join(server, admitted=False))
    assert denied.reason is DENIED


@pytest.mark.parametrize("version", VERSIONS)
def test_the_ticket_of_one_worker_resumes_on_another_with_the_leaf_alone(version: str) -> None:
    contexts = Contexts()
    contexts.install(lab().identity, [lab().network()])
    device = Supplicant(lab().client, version)
    let_in(device.join(eap_server(contexts=contexts, worker=0)))
    joined = device.join(eap_server(contexts=contexts, worker=1))
    let_in(joined)
    assert joined.resumed
    assert joined.proved[0].conversation.facts.chain == (lab().client.der,)


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_outlive_a_change_of_the_contexts_but_not_of_the_networks_epoch(version: str) -> None:
    contexts = Contexts()
    contexts.install(lab().identity, [lab().network()])
    server, device = eap_server(contexts=contexts), Supplicant(lab().client, version)
    let_in(device.join(server))
    contexts.install(lab().identity, [lab().network(anchors=(lab().issuing.der, lab().root.der))])
    assert device.join(server).resumed
    contexts.install(lab().identity, [lab().network(epoch="2")])
    joined = device.join(server)
    let_in(joined)
    assert not joined.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_of_one_network_does_not_resume_in_another(version: str) -> None:
    server = eap_server([lab().network(), lab().network(name="guests")])
    device = Supplicant(lab().client, version)
    let_in(device.join(server))
    joined = device.join(server, Opening("ap-1", "guests", "x", "aa-bb-cc-dd-ee-ff", 1400))
    let_in(joined)
    assert not joined.resumed


def test_a_device_of_tls_12_that_takes_no_tickets_resumes_by_session_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wpa_supplicant does. Whoever was not let in, and whoever is to have no session, resumes nothing."""
    server, device = (
        eap_server([lab().network(), lab().network(name="guests")]),
        Supplicant(lab().client, "1.2", tickets=False),
    )
    let_in(device.join(server))
    again = device.join(server)
    let_in(again)
    assert again.resumed
    assert not device.join(server, Opening("ap-1", "guests", "x")).resumed, "another network's"
    let_in(device.join(server))
    refused(device.join(server, admitted=False))
    assert not device.join(server).resumed, "the session of a device that was not let in is gone"
    monkeypatch.setattr(contexts_module, "MAX_CACHED", 0)
    joined = device.join(server)
    let_in(joined)
    assert not joined.resumed, "a full cache is replaced by an empty one"


def test_a_session_by_id_is_not_kept_for_a_leaf_that_is_to_have_none() -> None:
    server = eap_server(judge=lambda _network, _leaf: "no_ticket")
    device = Supplicant(lab().client, "1.2", tickets=False)
    let_in(device.join(server))
    joined = device.join(server)
    let_in(joined)
    assert not joined.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_resumed_where_the_network_does_not_want_it(version: str) -> None:
    server, device = eap_server([lab().network(resumption_seconds=0)]), Supplicant(lab().client, version)
    let_in(device.join(server))
    joined = device.join(server)
    let_in(joined)
    assert not joined.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_not_admitted_gets_neither_success_nor_the_protected_one_nor_a_ticket(version: str) -> None:
    server, device = eap_server(), Supplicant(lab().client, version)
    joined = device.join(server, admitted=False)
    failure = refused(joined)
    assert (failure.reason, failure.detail) == (DENIED, "not today")
    assert failure.facts.sha256 == lab().client.sha256
    # In TLS 1.2 our last flight has not left, so that the alert can be told; in 1.3 there is no way to.
    assert ("access denied" in str(joined.trusted)) is (version == "1.2")
    assert len(server.begin(OPENING, b"").eap) == 5  # type: ignore[union-attr]
    assert server.open == 0
    assert not device.join(server).resumed


CHAINS: dict[str, tuple[object, object, str]] = {
    "expired": (lambda: certify("late", lab().issuing, usage=CLIENT, days=(-3, -1)), EXPIRED, "certificate expired"),
    "wrong EKU": (lambda: certify("web", lab().issuing, usage=SERVER_USE), WRONG_PURPOSE, "unsupported certificate"),
    "unknown CA": (lambda: certify("x", certify("y", certify("z")), usage=CLIENT), UNKNOWN_CA, "unknown ca"),
    "a sibling of the anchor": (
        lambda: certify("x", certify("sibling", lab().root), usage=CLIENT),
        UNKNOWN_CA,
        "unknown ca",
    ),
    "none": (lambda: None, NO_PEER_CERTIFICATE, ""),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", CHAINS)
def test_a_certificate_that_does_not_verify_is_refused_with_its_alert_first(version: str, kind: str) -> None:
    make, reason, alert = CHAINS[kind]
    joined = Supplicant(make(), version).join(eap_server())  # type: ignore[operator]
    failure = refused(joined)
    assert failure.reason is reason
    assert alert in str(joined.trusted)
    assert not joined.proved
    assert joined.requests[-1][4:6] == b"\x0d\x00"  # the alert, then the empty answer to it, then Failure


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("known", "reason", "alert"),
    [
        ("revoked", REVOKED, "certificate revoked"),
        ("expired", EXPIRED, "certificate expired"),
        ("refused", REFUSED_LEAF, "certificate unknown"),
    ],
)
def test_what_the_trust_table_knows_is_told_by_the_right_alert(
    version: str, known: str, reason: object, alert: str
) -> None:
    asked: list[tuple[str, bytes]] = []

    def judge(network: str, sha256: bytes) -> str:
        asked.append((network, sha256))
        return known

    joined = Supplicant(lab().client, version).join(eap_server(judge=judge))
    failure = refused(joined)
    assert failure.reason is reason
    assert alert in str(joined.trusted)
    assert asked == [("corp", lab().client.sha256)]
    assert failure.facts.sha256 == lab().client.sha256
    assert failure.facts.chain[:1] == (lab().client.der,)


def test_a_leaf_may_be_let_in_and_be_given_no_ticket_under_tls_13() -> None:
    server, device = eap_server(judge=lambda _network, _leaf: "no_ticket"), Supplicant(lab().client)
    let_in(device.join(server))
    joined = device.join(server)
    let_in(joined)
    assert not joined.resumed


def test_a_judge_that_fails_lets_nobody_in() -> None:
    def judge(network: str, sha256: bytes) -> str | None:
        raise KeyError(network)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.unraisablehook", lambda _: None)
        joined = Supplicant(lab().client).join(eap_server(judge=judge))
    refused(joined)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_that_does_not_trust_the_server_says_so(version: str) -> None:
    failure = refused(Supplicant(lab().client, version, anchor=certify("other")).join(eap_server()))
    assert (failure.reason, failure.detail) == (PEER_ALERT, "unknown_ca")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asked", [True, False])
def test_the_servers_status_is_stapled_for_whoever_asks(version: str, asked: bool) -> None:
    contexts = Contexts()
    contexts.install(lab().identity, [lab().network()])
    response = status_of(lab().server)
    contexts.staple(response, 60.0, 1000.0)
    device = Supplicant(lab().client, version, staple=asked)
    let_in(device.join(eap_server(contexts=contexts)))
    assert device.staples == ([response] if asked else [])
    assert contexts.staples_given == int(asked)
    assert not contexts.expire_staple(1061.0)
    let_in(Supplicant(lab().client, version, staple=asked).join(eap_server(contexts=contexts)))
    assert contexts.staples_given == int(asked)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [64, 150, 400, 1024, 4000])
def test_any_size_of_fragment_gets_through_in_both_directions(version: str, size: int) -> None:
    opening = Opening("ap-1", "corp", "x", "", size + 10)
    joined = Supplicant(lab().client, version, fragment=size, groups="").join(
        eap_server(limits=EapLimits(fragment_size=4000)), opening
    )
    if size == 64 and version == "1.3":  # more rounds than any access server would go along with
        assert refused(joined).reason is TOO_LONG
        return
    let_in(joined)
    assert joined.longest <= size + 10
    for request in joined.requests:
        alone = not request[5] & 0x40
        assert request[5] & 0x80 == 0 or not alone, "the length stands in the first of several fragments alone"


def test_a_first_message_in_fragments_is_put_together() -> None:
    """A hybrid ML-KEM key share makes a ClientHello of 1.5 KB."""
    joined = Supplicant(lab().client, "1.3", fragment=500, groups="X25519MLKEM768").join(eap_server())
    assert let_in(joined).conversation.facts.group == "X25519MLKEM768"


def test_a_client_of_tls_12_with_x25519_alone_is_told_that_there_is_nothing_in_common() -> None:
    joined = Supplicant(lab().client, "1.2", groups="X25519").join(eap_server())
    failure = refused(joined)
    assert failure.reason.code == "radius.tls.nothing_in_common"
    assert "X25519" in failure.reason.fix


def _mldsa() -> Holder:
    return lab("mldsa65").client


def test_chains_of_post_quantum_certificates_get_through() -> None:
    ours = lab("mldsa65")
    contexts = Contexts()
    contexts.install(ours.identity, [ours.network()])
    joined = Supplicant(_mldsa(), "1.3", anchor=ours.root).join(eap_server(contexts=contexts))
    success = let_in(joined)
    assert success.conversation.facts.sha256 == _mldsa().sha256
    assert joined.trips > 20
