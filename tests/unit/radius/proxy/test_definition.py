"""Pools as people write them: what is taken, and which words a refusal has."""

from __future__ import annotations

import pytest

from troth.radius.proxy.definition import parse_proxies, whole
from troth.radius.proxy.errors import PoolInvalid

SOUND = """proxies:
  - name: eduroam
    realms: ["*", "*.Example.ORG"]
    foreign: true
    place: guests
    operator_name: Example.net
    servers:
      - address: "[2001:db8::1]:2083"
        transport: radsec
        names: ["dns:FLR1.example.net"]
      - address: flr2.example.net:1812
"""


def test_a_pool_is_read_with_names_in_the_form_in_which_they_are_compared() -> None:
    (pool,) = parse_proxies(SOUND)
    first, second = pool.servers
    assert (pool.realms, pool.operator_name) == (("*", "*.example.org"), "example.net")
    assert (first.host, first.port, first.names) == ("2001:db8::1", 2083, ("dns:flr1.example.net",))
    assert (second.host, second.port, second.require_message_authenticator) == ("flr2.example.net", 1812, True)
    assert pool.weight("a.example.org") == (1, len("*.example.org"))
    assert pool.weight("") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: eduroam", "name: Eduroam"), "name: lower-case"),
        (("flr2.example.net:1812", "flr2.example.net"), "HOST:PORT"),
        (("flr2.example.net:1812", "flr2.example.net:99999"), "HOST:PORT"),
        (("dns:FLR1.example.net", "flr1.example.net"), "write dns:NAME"),
        (("    foreign: true\n", ""), "only where `foreign: true`"),
        (('"*.Example.ORG"', "localhost"), "realms: 'localhost'"),
        (("Example.net", "nowhere"), "operator_name"),
        (("transport: radsec", "transport: tcp"), "transport"),
        (("place: guests", "country: Germany"), "country: two capital letters"),
        (("place: guests", "accept_drop: [Class, Filter-ID]"), "did you mean 'Filter-Id'"),
        (("transport: radsec", "transport: radsec\n        accounting_port: 1813"), "over RadSec accounting"),
        (("- address: flr2.example.net:1812", "- address: flr2.example.net:1812\n        secret: x"), "secret"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(change: tuple[str, str], words: str) -> None:
    with pytest.raises(PoolInvalid) as refused:
        parse_proxies(SOUND.replace(*change))
    assert words in refused.value.detail
    assert "line" in refused.value.detail


def test_two_pools_do_not_want_one_realm() -> None:
    two = parse_proxies(SOUND + SOUND.replace("proxies:\n", "").replace("name: eduroam", "name: other"))
    with pytest.raises(PoolInvalid, match="'eduroam'"):
        whole(two)
