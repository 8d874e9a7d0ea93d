from __future__ import annotations

from ipaddress import ip_address

import pytest

from troth.enroll.acme.validate.network import NetworkPolicy, TargetRefused, is_local, listener, networks

OPEN = NetworkPolicy()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "fd00::1", "8.8.8.8",
     "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"],
)  # fmt: skip
def test_public_private_and_loopback_addresses_are_open(address: str) -> None:
    OPEN.check(ip_address(address), 80)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "0.1.2.3", "169.254.1.1", "169.254.169.254", "224.0.0.1", "239.255.255.250", "255.255.255.255",
     "240.0.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "::", "fe80::1", "fe80::1%eth0", "ff02::1",
     "fd00:ec2::254", "fd20:ce::254"],
)  # fmt: skip
def test_places_where_no_applicant_lives_are_closed(address: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        OPEN.check(ip_address(address), 80)
    assert refused.value.code == "acme.validation.target"


@pytest.mark.parametrize(
    "address",
    ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"],
)
def test_a_closed_address_in_another_dress_is_closed(address: str) -> None:
    with pytest.raises(TargetRefused):
        OPEN.check(ip_address(address), 80)


def test_link_local_can_be_opened_but_metadata_cannot() -> None:
    policy = NetworkPolicy(link_local=True)
    policy.check(ip_address("169.254.1.1"), 80)
    policy.check(ip_address("fe80::1"), 80)
    for address in ("169.254.169.254", "::ffff:169.254.169.254"):
        with pytest.raises(TargetRefused):
            policy.check(ip_address(address), 80)


def test_denied_networks_are_closed_in_every_dress() -> None:
    policy = NetworkPolicy(denied=networks(["10.9.0.0/16", "fd12::/16"]))
    policy.check(ip_address("10.8.0.1"), 80)
    for address in ("10.9.1.1", "::ffff:10.9.1.1", "fd12::5"):
        with pytest.raises(TargetRefused):
            policy.check(ip_address(address), 80)


def test_with_allowed_networks_all_others_are_closed() -> None:
    policy = NetworkPolicy(allowed=networks(["10.0.0.0/8", "169.254.0.0/16"]))
    policy.check(ip_address("10.1.1.1"), 80)
    for address in ("192.168.0.1", "127.0.0.1", "169.254.1.1"):
        with pytest.raises(TargetRefused):
            policy.check(ip_address(address), 80)


def test_an_own_listener_is_closed_and_its_neighbour_port_open() -> None:
    policy = NetworkPolicy(own_listeners=listener("127.0.0.1", 8443))
    policy.check(ip_address("127.0.0.1"), 8080)
    policy.check(ip_address("127.0.0.2"), 8443)
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        with pytest.raises(TargetRefused):
            policy.check(ip_address(address), 8443)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_a_listener_on_every_address_closes_its_port_on_all_of_this_machine(everywhere: str) -> None:
    policy = NetworkPolicy(own_listeners=listener(everywhere, 80))
    policy.check(ip_address("192.0.2.1"), 80)
    policy.check(ip_address("127.0.0.1"), 81)
    for address in ("127.0.0.1", "127.5.5.5", "::1"):
        with pytest.raises(TargetRefused):
            policy.check(ip_address(address), 80)


def test_a_listener_named_localhost_stands_for_its_addresses() -> None:
    assert (ip_address("127.0.0.1"), 8443) in listener("localhost", 8443)


def test_local_addresses_are_told_from_others() -> None:
    assert is_local(ip_address("127.0.0.1"))
    assert not is_local(ip_address("192.0.2.7"))
    assert not is_local(ip_address("2001:db8::7"))


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        networks(["10.0.0.1/8"])
