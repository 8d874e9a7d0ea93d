from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.access.attempts import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("local", "unknown"),
        ("", "unknown"),
    ],
)
def test_attempts_are_counted_by_ipv4_address_and_ipv6_network(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.text(max_size=80))
def test_any_peer_address_has_a_bucket(address: str) -> None:
    assert network_of(address)
