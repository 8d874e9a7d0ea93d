"""wpa_supplicant's EAP-TLS against the engine: both versions, and the same keys on both sides each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.radius_harness import EapolTest, Harness
from tests.support.supplicants import CLIENT, SERVER_USE, certify, eap_server, lab, status_of
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.identity import with_second
from troth.radius.eap.model import Fail, Succeed

VERSIONS = ("1.2", "1.3")


@pytest.fixture
def device(tmp_path: Path) -> EapolTest:
    return EapolTest(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_joins_and_resumes_with_small_fragments_and_the_session_id_of_macsec(
    version: str, device: EapolTest
) -> None:
    with Harness(eap_server()) as harness:
        joined, told = device.join(
            harness.port, lab().client, version, settings="fragment_size=150", arguments=("-r", "1", "-e")
        )
    assert joined, told
    first, second = harness.steps
    assert isinstance(first, Succeed)
    assert isinstance(second, Succeed)
    assert (first.conversation.facts.tls_version, first.conversation.facts.resumed) == (version, False)
    assert second.conversation.facts.resumed
    assert told.count("Locally derived EAP Session-Id matches EAP-Key-Name from server") == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_it_insists_on_the_status_of_the_server(version: str, device: EapolTest) -> None:
    contexts = Contexts()
    contexts.install(lab().identity, [lab().network()])
    with Harness(eap_server(contexts=contexts)) as harness:
        joined, told = device.join(harness.port, lab().client, version, settings="ocsp=2", arguments=("-t", "3"))
        assert not joined, told
        contexts.staple(status_of(lab().server), 600.0, 0.0)
        joined, told = device.join(harness.port, lab().client, version, settings="ocsp=2")
        assert joined, told
    assert contexts.staples_given == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_without_ecdsa_it_is_shown_the_second_certificate_with_a_status_of_its_own(
    version: str, device: EapolTest
) -> None:
    ours, theirs = lab(), lab("rsa")
    only_rsa, only_ecdsa = "RSA-PSS+SHA256:RSA+SHA256", "ECDSA+SHA256"
    network = ours.network(anchors=(ours.issuing.der, theirs.issuing.der))
    contexts = Contexts()
    contexts.install(ours.identity, [network])
    with Harness(eap_server(contexts=contexts)) as harness:
        joined, told = device.join(
            harness.port, theirs.client, version, root=theirs.root, signatures=only_rsa, arguments=("-t", "3")
        )
        assert not joined, told
        contexts.install(with_second(ours.identity, theirs.identity), [network])
        contexts.staple(status_of(ours.server), 600.0, 0.0)
        contexts.staple(status_of(theirs.server), 600.0, 0.0, of=theirs.identity)
        for who, signatures in ((theirs, only_rsa), (ours, only_ecdsa)):
            joined, told = device.join(
                harness.port, who.client, version, root=who.root, signatures=signatures, settings="ocsp=2"
            )
            assert joined, told
    assert contexts.staples_given == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("make", "alert"),
    [
        (lambda: certify("late", lab().issuing, usage=CLIENT, days=(-3, -1)), "certificate expired"),
        (lambda: certify("web", lab().issuing, usage=SERVER_USE), "unsupported certificate"),
        (lambda: certify("x", certify("y", certify("z")), usage=CLIENT), "unknown CA"),
    ],
)  # fmt: skip
def test_it_hears_what_is_wrong_with_its_certificate(version: str, make: object, alert: str, device: EapolTest) -> None:
    with Harness(eap_server()) as harness:
        joined, told = device.join(harness.port, make(), version)  # type: ignore[operator]
    assert not joined
    assert alert in told
    assert "EAP: Received EAP-Failure" in told


@pytest.mark.parametrize("version", VERSIONS)
def test_it_hears_that_its_certificate_is_revoked(version: str, device: EapolTest) -> None:
    with Harness(eap_server(judge=lambda _, leaf: "revoked" if leaf == lab().client.sha256 else None)) as harness:
        joined, told = device.join(harness.port, lab().client, version)
    assert not joined
    assert "certificate revoked" in told


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_not_let_in_where_the_decision_says_no(version: str, device: EapolTest) -> None:
    with Harness(eap_server(), admit=lambda _: False) as harness:
        joined, told = device.join(harness.port, lab().client, version)
    assert not joined
    assert "EAP: Received EAP-Failure" in told
    assert isinstance(harness.steps[-1], Fail)
    assert ("access denied" in told) is (version == "1.2")
