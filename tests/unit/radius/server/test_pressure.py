"""What is dropped first when there is too much."""

from __future__ import annotations

from troth.radius.server.pressure import Newcomers, Quiet, Room


def test_one_access_server_cannot_fill_the_room() -> None:
    room = Room(10, 3)

    assert [room.enter("ap-1") for _ in range(5)] == [True, True, True, False, False]
    assert room.enter("ap-2")
    room.leave("ap-1")
    assert room.enter("ap-1")
    assert (room.under_way, room.refused) == (4, 2)


def test_an_access_servers_own_limit_counts_in_place_of_the_common_one() -> None:
    room = Room(10, 3)

    assert [room.enter("controller", 5) for _ in range(6)].count(True) == 5


def test_a_full_room_takes_nobody() -> None:
    room = Room(2, 10)

    assert [room.enter(name) for name in "abc"] == [True, True, False]


def test_the_newest_beginnings_are_dropped_and_the_oldest_have_their_turn_first() -> None:
    begun: list[int] = []
    waiting = Newcomers(begun.append, most=4, at_once=3)
    for one in range(6):
        waiting.add(one)

    assert waiting.dropped == 2
    assert waiting.begin()
    assert begun == [0, 1, 2]
    assert not waiting.begin()
    assert begun == [0, 1, 2, 3]


def test_a_stranger_is_told_of_once_a_minute_with_how_often_it_came() -> None:
    quiet = Quiet(60)

    assert quiet.may_say("a", 0) == 0
    assert [quiet.may_say("a", at) for at in (1, 2, 59)] == [None, None, None]
    assert quiet.may_say("a", 60) == 3


def test_many_strangers_take_no_more_than_a_bounded_place_and_write_no_more_than_a_bounded_log() -> None:
    quiet = Quiet(60, most=10)

    assert sum(quiet.may_say(one, 0) is not None for one in range(1000)) == 10
    assert quiet.may_say("later", 61) == 0
