"""Who has the least to do, as the workers of one machine know it of one another."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from troth.kit.clock import FakeClock
from troth.radius.server.board import Board, Row


def _seat(board: Board, number: int, monotonic: Callable[[], float]) -> Row:
    """One that takes conversations."""
    row = board.sit(number, monotonic)
    row.accept()
    return row


def test_a_worker_alone_keeps_everything(clock: FakeClock) -> None:
    row = _seat(Board(), 3, clock.monotonic)
    row.live(1000)

    assert row.least() == 3


def test_the_next_conversation_goes_to_whoever_has_clearly_fewer(clock: FakeClock) -> None:
    board = Board()
    one, two = _seat(board, 1, clock.monotonic), _seat(board, 2, clock.monotonic)
    one.live(5)
    two.live(4)
    assert one.least() == 2

    two.live(5)
    assert one.least() == 1


def test_where_the_kernel_spreads_what_begins_small_differences_are_left_alone(clock: FakeClock) -> None:
    board = Board()
    board.steer(True)
    one, _ = _seat(board, 1, clock.monotonic), _seat(board, 2, clock.monotonic)
    one.live(10)
    assert one.least() == 1

    one.live(11)
    assert one.least() == 2


def test_what_all_comes_to_one_is_shared_evenly_even_if_nothing_of_it_lasts(clock: FakeClock) -> None:
    board = Board()
    one, two = _seat(board, 1, clock.monotonic), _seat(board, 2, clock.monotonic)
    went = []
    for _ in range(100):
        clock.advance(timedelta(milliseconds=2))
        to = one.least()
        went.append(to)
        if to == 1:
            one.begun()
        else:
            one.handed(2)
            two.took(1)
            two.begun()

    assert 45 <= went.count(2) <= 55


def test_what_began_long_ago_counts_no_more(clock: FakeClock) -> None:
    board = Board()
    one = _seat(board, 1, clock.monotonic)
    _seat(board, 2, clock.monotonic)
    for _ in range(50):
        one.begun()
    assert one.least() == 2

    clock.advance(timedelta(seconds=5))
    assert one.least() == 1


def test_what_is_on_its_way_counts_until_it_was_taken(clock: FakeClock) -> None:
    board = Board()
    one, two = _seat(board, 1, clock.monotonic), _seat(board, 2, clock.monotonic)
    one.live(4)
    for _ in range(3):
        assert one.least() == 2
        one.handed(2)
    one.handed(2)
    assert one.least() == 1

    for _ in range(4):
        two.took(1)
    assert one.least() == 2


def test_nobody_is_handed_to_who_drains_or_has_left(clock: FakeClock) -> None:
    board = Board()
    one, two, three = (_seat(board, number, clock.monotonic) for number in (1, 2, 3))
    one.live(10)
    two.drain()
    assert one.least() == 3

    three.leave()
    assert [one.least() for _ in range(300)][-1] == 1


def test_nobody_is_handed_to_who_has_not_all_it_needs_yet(clock: FakeClock) -> None:
    board = Board()
    one, two = _seat(board, 1, clock.monotonic), board.sit(2, clock.monotonic)
    one.live(10)
    assert one.least() == 1

    two.accept()
    assert one.least() == 2


def test_a_successor_with_the_same_number_starts_with_a_clean_row(clock: FakeClock) -> None:
    board = Board()
    one, two = _seat(board, 1, clock.monotonic), _seat(board, 2, clock.monotonic)
    one.live(3)
    one.handed(2)
    one.handed(2)
    one.handed(2)
    two.live(7)
    assert one.least() == 1

    _seat(board, 2, clock.monotonic)
    assert one.least() == 2


def test_a_forked_process_writes_what_the_other_reads(clock: FakeClock) -> None:
    board = Board()
    mine = _seat(board, 0, clock.monotonic)
    mine.live(9)
    child = os.fork()
    if child == 0:
        _seat(board, 1, clock.monotonic).live(4)
        os._exit(0)
    os.waitpid(child, 0)

    assert mine.least() == 1
    board.clear(1)
    _seat(board, 5, clock.monotonic).live(100)
    assert mine.least() == 0
