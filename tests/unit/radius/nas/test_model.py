from __future__ import annotations

import ipaddress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.radius.nas.model import CoaTarget, Nas, NasTable, RadsecIdentity

ID = UUID(int=1)


def nas(name: str, *prefixes: str, **more: Any) -> Nas:
    return Nas(ID, name, prefixes, "generic", **more)


def test_the_longest_prefix_counts() -> None:
    table = NasTable(
        [nas("site", "10.0.0.0/8"), nas("floor", "10.1.0.0/16"), nas("ap", "10.1.2.3/32"), nas("six", "2001:db8::/32")]
    )

    assert [found.name for found in map(table.of, ["10.9.9.9", "10.1.9.9", "10.1.2.3", "2001:db8::7"]) if found] == [
        "site", "floor", "ap", "six"
    ]  # fmt: skip
    assert table.of("192.0.2.1") is None
    assert table.named("floor") is table.of("10.1.0.0")
    assert table.named("nobody") is None


@pytest.mark.parametrize("address", ["::ffff:10.1.2.3", "10.1.2.3"])
def test_an_ipv4_address_is_itself_in_the_clothes_of_ipv6(address: str) -> None:
    assert NasTable([nas("ap", "10.1.2.3/32")]).of(address) is not None


def test_a_link_local_address_is_found_without_its_interface() -> None:
    assert NasTable([nas("ap", "fe80::/64")]).of("fe80::1%eth0") is not None


@pytest.mark.parametrize("address", ["", "ap.example.org", "10.1.2", "10.1.2.3.4", "::ffff:"])
def test_what_is_no_address_is_nobody(address: str) -> None:
    assert NasTable([nas("all", "0.0.0.0/1", "128.0.0.0/1", "::/1")]).of(address) is None


def test_an_access_server_that_is_heard_over_tls_alone_is_nobody_over_udp() -> None:
    only = nas("secure", "10.0.0.0/8", radsec=RadsecIdentity(("dns:a.example",), ("10.0.0.0/8",), only=True))
    table = NasTable([only, nas("plain", "10.0.0.0/7")])

    assert only.protected
    found = table.of("10.1.1.1")
    assert found is not None
    assert found.name == "plain"
    assert table.named("secure") is only


NETWORKS = st.builds(
    lambda number, length: ipaddress.ip_network((number, length), strict=False),
    st.integers(0, 2**32 - 1), st.integers(1, 32),
)  # fmt: skip


@given(networks=st.lists(NETWORKS, min_size=1, max_size=12, unique=True), number=st.integers(0, 2**32 - 1))
def test_the_table_finds_what_a_walk_through_all_prefixes_finds(
    networks: list[ipaddress.IPv4Network], number: int
) -> None:
    table = NasTable(nas(f"n{index}", str(network)) for index, network in enumerate(networks))
    for address in (ipaddress.IPv4Address(number), networks[0].network_address, networks[-1].broadcast_address):
        holding = [index for index, network in enumerate(networks) if address in network]
        expected = f"n{max(holding, key=lambda index: networks[index].prefixlen)}" if holding else None

        for _ in range(2):
            found = table.of(str(address))
            assert (found.name if found else None) == expected


def test_secrets_do_not_show_when_it_is_printed() -> None:
    shown = repr(nas("ap", "10.0.0.1/32", secrets=(b"s3cret-one", b"s3cret-two"), coa=CoaTarget(secret=b"s3cret-coa")))

    assert "s3cret" not in shown


def test_a_coa_request_is_signed_with_its_own_secret_or_with_those_of_requests() -> None:
    rotating = nas("ap", "10.0.0.1/32", secrets=(b"one", b"two"))
    own = nas("ap", "10.0.0.1/32", secrets=(b"one", None), coa=CoaTarget(secret=b"coa"))

    assert rotating.coa_secrets == (b"one", b"two")
    assert own.coa_secrets == (b"coa",)
    assert nas("new", "10.0.0.1/32").coa_secrets == ()
    assert (rotating.which(b"one"), rotating.which(b"two")) == ("current", "next")
