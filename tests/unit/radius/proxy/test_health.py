"""Which server is asked, as servers fall silent and come back. No clock but the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from troth.radius.proxy.health import PROBES_TO_LIVE, Health, Standing


def health(number: int = 3, *, spread: bool = False, probes: bool = True) -> Health:
    servers = [Standing(f"10.0.0.{at}:1812", probes) for at in range(number)]
    return Health(servers, spread, 30.0, jitter=lambda: 0.5)


def test_the_first_that_lives_is_asked_and_the_longest_silent_last() -> None:
    one = health()
    assert one.order(b"d") == [0, 1, 2]
    one.silent(0, 100.0)
    assert one.order(b"d") == [1, 2, 0]
    one.silent(1, 101.0)
    one.silent(2, 102.0)
    assert one.order(b"d") == [2, 1, 0]


def test_a_silent_server_is_probed_after_its_rest_and_lives_after_two_answers() -> None:
    one = health()
    one.silent(0, 100.0)
    assert one.due(129.0) == []
    assert one.due(130.0) == [0]
    assert one.due(130.5) == [], "one probe at a time"
    one.answered(0, 131.0, probe=True)
    assert not one.servers[0].alive
    assert one.due(132.0) == [0]
    one.answered(0, 132.0, probe=True)
    assert one.servers[0].alive
    assert PROBES_TO_LIVE == 2


def test_an_answer_to_a_request_says_more_than_a_probe() -> None:
    one = health()
    one.silent(0, 100.0)
    one.answered(0, 101.0)
    assert one.servers[0].alive


def test_a_server_without_status_server_is_tried_again_after_its_rest() -> None:
    one = health(probes=False)
    one.silent(0, 100.0)
    assert one.due(130.0) == []
    assert one.servers[0].alive


def test_a_conversation_stays_with_its_server_until_it_is_old() -> None:
    one = health()
    one.bind(b"state", 2, 100.0)
    assert one.bound(b"state", 150.0) == 2
    assert one.bound(b"state", 300.0) is None
    assert one.bound(b"another", 100.0) is None


@given(st.lists(st.binary(min_size=1, max_size=8), min_size=1, unique=True), st.integers(0, 4))
def test_a_device_keeps_its_server_when_another_falls_silent(devices: list[bytes], falls: int) -> None:
    one = health(5, spread=True)
    before = {device: one.order(device) for device in devices}
    one.silent(falls, 1.0)
    for device, order in before.items():
        now = one.order(device)
        assert sorted(now) == sorted(order)
        assert now == [at for at in order if at != falls] + [falls]


def test_devices_are_spread_over_all() -> None:
    one = health(4, spread=True)
    first = [one.order(device.to_bytes(2, "big"))[0] for device in range(400)]
    assert all(60 < first.count(at) < 140 for at in range(4))
