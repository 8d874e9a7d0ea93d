"""From a change of standing to effects, purely: what is done, what is taken back, what is not done twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from troth.kit.ids import new_id
from troth.trust.outbox.model import PORTS, Effect, EffectState, Notice
from troth.trust.outbox.plan import Planned, StandingChange, plan
from troth.trust.outbox.reactions import parse_reactions
from troth.trust.standing import Standing

_AT = datetime(2026, 3, 1, tzinfo=UTC)
_TRUSTED, _RESTRICTED, _QUARANTINED, _DISTRUSTED = Standing
_REACTIONS = parse_reactions(
    """
reactions:
  - when: [trusted, restricted, quarantined, distrusted]
    then: [ssf]
  - when: [quarantined, distrusted]
    subjects: [device]
    then: ["crowdstrike.contain:falcon", disconnect]
    undo: true
  - when: [quarantined]
    subjects: [user]
    then: ["entra.revoke_sessions:entra", "okta.suspend_user:okta"]
"""
)


def _change(before: Standing, after: Standing, *, kind: str = "device", protected: bool = False) -> StandingChange:
    return StandingChange(kind, (), ("edr",), protected, before, after)


def _effect(port: str, target: str, change: StandingChange, **fields: object) -> Effect:
    notice = Notice("device", "laptop", change.before.value, change.after.value, 1)
    made = Effect(
        id=new_id(), subject_id=new_id(), standing_version=1, port=port, target=target, acting=PORTS[port].acting,
        undo="", undone=False, notice=notice, signal_id=new_id(), actor="feed:edr", automated=True, accepted_at=_AT,
        planned_at=_AT, due=_AT,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def _names(planned: Planned) -> list[str]:
    return [one.port.name for one in planned.effects]


_DOWN = _change(_TRUSTED, _QUARANTINED)
_UP = _change(_QUARANTINED, _TRUSTED)


def _contained(**fields: object) -> Effect:
    values: dict[str, object] = {"undo": "crowdstrike.lift_containment", "state": EffectState.DONE, "attempts": 1}
    return _effect("crowdstrike.contain", "falcon", _DOWN, **(values | fields))


def test_quarantine_gives_what_the_rules_ask_for_in_their_order() -> None:
    planned = plan(_DOWN, _REACTIONS, ())
    assert _names(planned) == ["ssf", "crowdstrike.contain", "disconnect"]
    assert [one.undo for one in planned.effects] == ["", "crowdstrike.lift_containment", ""]


def test_getting_better_takes_back_what_was_done() -> None:
    done = _contained()
    planned = plan(_UP, _REACTIONS, (done,))
    assert _names(planned) == ["crowdstrike.lift_containment", "ssf"]


def test_what_was_never_sent_is_neither_sent_nor_taken_back() -> None:
    waiting = _contained(state=EffectState.WAITING, attempts=0)
    planned = plan(_UP, _REACTIONS, (waiting,))
    assert planned.superseded == (waiting.id,)
    assert _names(planned) == ["ssf"]


def test_what_may_have_been_done_is_taken_back_too() -> None:
    tried = _contained(state=EffectState.WAITING, attempts=2)
    assert plan(_UP, _REACTIONS, (tried,)).superseded == (tried.id,)
    assert _names(plan(_UP, _REACTIONS, (tried,))) == ["crowdstrike.lift_containment", "ssf"]
    under_way = replace(tried, lease_until=_AT + timedelta(seconds=60))
    # It keeps its place before the lifting, which must not overtake it.
    assert plan(_UP, _REACTIONS, (under_way,)).superseded == ()
    assert _names(plan(_UP, _REACTIONS, (under_way,))) == ["crowdstrike.lift_containment", "ssf"]
    dead = _contained(state=EffectState.DEAD, attempts=9)
    assert _names(plan(_UP, _REACTIONS, (dead,))) == ["crowdstrike.lift_containment", "ssf"]


def test_without_undo_in_the_rule_nothing_is_put_back_by_itself() -> None:
    down = _change(_TRUSTED, _QUARANTINED, kind="user")
    assert _names(plan(down, _REACTIONS, ())) == ["ssf", "entra.revoke_sessions", "okta.suspend_user"]
    suspended = _effect("okta.suspend_user", "okta", down, state=EffectState.DONE, attempts=1)
    assert _names(plan(_change(_QUARANTINED, _TRUSTED, kind="user"), _REACTIONS, (suspended,))) == ["ssf"]


def test_worse_still_does_not_do_again_what_holds() -> None:
    planned = plan(_change(_QUARANTINED, _DISTRUSTED), _REACTIONS, (_contained(),))
    assert _names(planned) == ["ssf", "disconnect"]


def test_a_lifting_that_waits_gives_way_to_the_next_containment() -> None:
    lifting = _effect("crowdstrike.lift_containment", "falcon", _UP)
    planned = plan(_DOWN, _REACTIONS, (_contained(), lifting))
    assert planned.superseded == (lifting.id,)
    assert _names(planned) == ["ssf", "disconnect"]
    # Once the lifting may have gone out, the containment has to be made anew.
    tried = replace(lifting, attempts=1)
    assert "crowdstrike.contain" in _names(plan(_DOWN, _REACTIONS, (_contained(), tried)))


def test_a_lifting_is_not_dropped_because_it_gets_better_still() -> None:
    lifting = _effect("crowdstrike.lift_containment", "falcon", _change(_QUARANTINED, _RESTRICTED))
    planned = plan(_change(_RESTRICTED, _TRUSTED), _REACTIONS, (_contained(), lifting))
    assert planned.superseded == ()
    assert _names(planned) == ["ssf"]


def test_what_only_tells_is_told_each_time() -> None:
    told = _effect("ssf", "ssf", _DOWN)
    assert plan(_UP, _REACTIONS, (told,)).superseded == ()
    assert _names(plan(_UP, _REACTIONS, (told,))) == ["ssf"]


def test_on_a_protected_subject_nothing_acts_but_what_is_put_back() -> None:
    assert _names(plan(_change(_TRUSTED, _QUARANTINED, protected=True), _REACTIONS, ())) == ["ssf"]
    up = _change(_QUARANTINED, _TRUSTED, protected=True)
    assert _names(plan(up, _REACTIONS, (_contained(),))) == ["crowdstrike.lift_containment", "ssf"]


class _Falcon:
    """A model of the target and of the outbox before it: effects end in order, are lost, or are done unheard."""

    def __init__(self) -> None:
        self.contained = False
        self.opened: list[Effect] = []

    def change(self, change: StandingChange) -> None:
        planned = plan(change, _REACTIONS, [one for one in self.opened if not one.undone])
        self.opened = [one for one in self.opened if one.id not in planned.superseded]
        self.opened += [_effect(one.port.name, one.target, change, undo=one.undo) for one in planned.effects]

    def send(self, heard: bool) -> bool:
        """Try the next one; False if there is none."""
        for place, one in enumerate(self.opened):
            if one.target == "falcon" and one.state is EffectState.WAITING:
                self.contained = one.port == "crowdstrike.contain"
                self.opened[place] = replace(
                    one, attempts=one.attempts + 1, state=EffectState.DONE if heard else EffectState.WAITING
                )
                if heard:
                    self.opened[:place] = [
                        replace(other, undone=other.undone or other.undo == one.port) for other in self.opened[:place]
                    ]
                return True
        return False


@given(st.lists(st.tuples(st.sampled_from(list(Standing)), st.lists(st.booleans(), max_size=3)), max_size=12))
def test_however_it_went_the_target_ends_as_the_standing_asks(walk: Sequence[tuple[Standing, list[bool]]]) -> None:
    falcon, before = _Falcon(), _TRUSTED
    for after, tries in walk:
        if after is not before:
            falcon.change(_change(before, after))
            before = after
        for heard in tries:
            falcon.send(heard)
    while falcon.send(True):
        pass
    assert falcon.contained == (before >= _QUARANTINED)
