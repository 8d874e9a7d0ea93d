"""RadSec streams, user names, and pools of servers: any octets are read or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.test_parsers import EXAMPLES, mutated
from troth.kit.errors import TrothError
from troth.radius.proxy import nai
from troth.radius.proxy.definition import parse_proxies
from troth.radius.radsec.framing import Framer
from troth.radius.wire.packet import decode
from troth.radius.wire.signing import encode_request

_SIGNED = encode_request(1, 7, [(1, b"alice@example.org"), (79, b"\x02\x07\0\x06\x01a")], b"radsec")
_PROXIES = """proxies:
  - name: eduroam
    realms: ["*", "-", "*.example.org"]
    foreign: true
    place: guests
    operator_name: example.org
    servers:
      - {address: "[2001:db8::1]:2083", transport: radsec, names: ["dns:flr.example.net"]}
      - address: 10.0.0.5:1812
"""


def stream(data: bytes) -> None:
    """As TCP brings it, in three pieces."""
    framer, third = Framer(), len(data) // 3
    for piece in (data[:third], data[third : 2 * third], data[2 * third :]):
        for frame in framer.feed(piece):
            decode(frame)


def name(data: bytes) -> None:
    """A user name, and every pool's pattern on it."""
    found = nai.parse(data)
    if found is not None:
        nai.fault(found)
        nai.serves("*.example.org", found.realm)


PARSERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "radsec stream": (stream, [_SIGNED * 2 + _SIGNED[:9], _SIGNED]),
    "network access identifier": (name, [b"alice@example.org", "x@bücher.example".encode()]),
    "proxies": (lambda data: parse_proxies(data.decode("utf-8", "replace")), [_PROXIES.encode()]),
}


@pytest.mark.parametrize("which", sorted(PARSERS))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.differing_executors])
@given(st.data())
def test_a_parser_answers_or_refuses(which: str, data: st.DataObject) -> None:
    parse, seeds = PARSERS[which]
    seed = data.draw(st.sampled_from(seeds))
    some = mutated(seed, data.draw(st.integers(0, 6)), data.draw(st.integers(0, 2**32)))
    try:
        parse(data.draw(st.binary(max_size=200)) if data.draw(st.integers(0, 4)) == 0 else some)
    except TrothError:
        pass
