"""Two certificates, of two kinds of key: which one a device is shown, with which chain and which status."""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.support.supplicants import Lab, Supplicant, eap_server, lab, status_of
from troth.radius.eap.contexts import Contexts
from troth.radius.eap.errors import IdentityUnusable
from troth.radius.eap.identity import with_second
from troth.radius.eap.model import Succeed

ECDSA, RSA = "ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256"


@lru_cache
def status(kind: str) -> bytes:
    """Of the server's certificate of that kind."""
    return status_of((lab() if kind == "p256" else lab(kind)).server)


def _contexts() -> Contexts:
    made, ours, theirs = Contexts(), lab(), lab("rsa")
    network = ours.network(anchors=(ours.issuing.der, theirs.issuing.der))
    made.install(with_second(ours.identity, theirs.identity), [network])
    made.staple(status("p256"), 60.0, 0.0)
    made.staple(status("rsa"), 60.0, 0.0, of=theirs.identity)
    return made


@pytest.mark.parametrize(
    ("version", "signatures", "kind"),
    [
        ("1.2", ECDSA, "p256"),
        ("1.2", RSA, "rsa"),
        ("1.2", f"{RSA}:{ECDSA}", "p256"),
        ("1.3", ECDSA, "p256"),
        ("1.3", RSA, "rsa"),
        ("1.3", "", "p256"),
        ("1.3", f"{ECDSA}:{RSA}", "p256"),
        ("1.3", f"{RSA}:{ECDSA}", "p256"),
    ],
)
def test_it_follows_from_what_the_device_offers(version: str, signatures: str, kind: str) -> None:
    shown: Lab = lab() if kind == "p256" else lab(kind)
    # It trusts one root alone, so that the other certificate, or the other's chain, would end it.
    device = Supplicant(shown.client, version, signatures=signatures, anchor=shown.root, staple=True)
    contexts = _contexts()
    server = eap_server(contexts=contexts)
    first = device.join(server)
    assert isinstance(first.step, Succeed), first
    assert device.staples == [status(kind)]
    assert device.join(server).resumed
    assert contexts.shown == {"ec" if kind == "p256" else kind: 1}, "a resumed session shows none"


def test_the_status_of_the_one_is_never_given_for_the_other() -> None:
    ours = Contexts()
    ours.install(with_second(lab().identity, lab("rsa").identity), [lab().network()])
    ours.staple(status("p256"), 60.0, 0.0)
    device = Supplicant(lab("rsa").client, anchor=lab("rsa").root, signatures=RSA, staple=True)
    device.join(eap_server(contexts=ours))
    assert status("p256") not in device.staples
    assert ours.staples_given == 0


def test_two_of_one_kind_are_refused_and_change_nothing() -> None:
    with pytest.raises(IdentityUnusable, match="same kind of key"):
        with_second(lab().identity, lab().identity)
