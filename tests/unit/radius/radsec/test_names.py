"""By which names a certificate is an access server's, and by which it is not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.radius import nas
from tests.support.radsec import TinyAuthority
from troth.radius.radsec.errors import PeerRefused
from troth.radius.radsec.names import PeerCertificate, checked, matches, read
from troth.radius.radsec.peers import Entry, Peers

OWN = TinyAuthority()
ANYWHERE = (ip_network("0.0.0.0/0"),)


def certificate(*dns: str, **more: list[str]) -> PeerCertificate:
    made = OWN.issue(*dns, **more)  # type: ignore[arg-type]
    return read((x509.load_pem_x509_certificate(made.chain).public_bytes(Encoding.DER),))


@pytest.mark.parametrize(
    ("shown", "allowed", "is_it"),
    [
        (certificate("AP-7.corp.test"), "dns:ap-7.corp.test", True),
        (certificate("ap-7.corp.test"), "dns:ap-70.corp.test", False),
        (certificate("ap-7.aps.corp.test"), "dns:*.aps.corp.test", True),
        (certificate("a.b.aps.corp.test"), "dns:*.aps.corp.test", False),
        (certificate("aps.corp.test"), "dns:*.aps.corp.test", False),
        (certificate("*.aps.corp.test"), "dns:*.aps.corp.test", False),
        (certificate("evil-aps.corp.test"), "dns:*.aps.corp.test", False),
        (certificate(ips=["192.0.2.7"]), "ip:192.0.2.7", True),
        (certificate("192.0.2.7"), "ip:192.0.2.7", False),
        (certificate(uris=["urn:uuid:1"]), "uri:urn:uuid:1", True),
        (certificate("x.test", policies=["1.3.6.1.4.1.25178.3.1.1"]), "policy:1.3.6.1.4.1.25178.3.1.1", True),
        (certificate("x.test", policies=["1.3.6.1.4.1.25178.3.1.2"]), "policy:1.3.6.1.4.1.25178.3.1.1", False),
    ],
)
def test_a_name_counts_when_it_is_of_its_kind_and_the_same(shown: PeerCertificate, allowed: str, is_it: bool) -> None:
    assert (matches(shown, [checked(allowed)]) is not None) is is_it


@pytest.mark.parametrize(
    "name",
    ["ap-7.corp.test", "dns:", "dns:ap", "dns:*", "dns:*.test.", "dns:a..test", "ip:corp.test", "ip:192.0.2.0/24",
     "uri:nothing", "uri:urn:a b", "policy:1", "policy:a.b", "cn:ap-7", "dns:ap.*.test"],
)  # fmt: skip
def test_a_name_of_no_known_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"write|host name|address"):
        checked(name)


def test_a_certificate_that_would_be_two_access_servers_is_neither() -> None:
    both = Peers([
        Entry(nas("one"), ("dns:*.corp.test",), ANYWHERE), Entry(nas("two"), ("dns:ap-7.corp.test",), ANYWHERE),
    ])  # fmt: skip
    with pytest.raises(PeerRefused, match="one and two"):
        both.find(certificate("ap-7.corp.test"), "192.0.2.7")
    assert both.find(certificate("ap-8.corp.test"), "192.0.2.7").name == "one"


def test_the_right_name_from_the_wrong_network_is_nobody() -> None:
    peers = Peers([Entry(nas(), ("dns:ap-7.corp.test",), (ip_network("192.0.2.0/24"),))])
    assert peers.find(certificate("ap-7.corp.test"), "192.0.2.7").name == "ap-7"
    with pytest.raises(PeerRefused):
        peers.find(certificate("ap-7.corp.test"), "198.51.100.7")
    assert not peers.may_knock("198.51.100.7")
