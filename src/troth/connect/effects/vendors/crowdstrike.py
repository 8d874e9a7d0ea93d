"""CrowdStrike Falcon: network containment of a device. Scope *Hosts: write*. Documented behaviour, not tried live.

``POST /devices/entities/devices-actions/v2?action_name=contain|lift_containment``. Whether it is contained now is
asked first, since Falcon answers a repetition with an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from troth.connect.api import shaped
from troth.connect.effects.acting import Action, Hand, sure
from troth.trust.outbox.model import Effect, EffectSubject, Outcome

_SCOPE: Final = "Hosts: write"
#: ``status`` of a device → whether it is, or is about to be, cut off. Others are unknown, and then it is asked for.
_CUT_OFF: Final = {"contained": True, "containment_pending": True, "normal": False, "lift_containment_pending": False}


class _Device(msgspec.Struct):
    device_id: str
    status: str = ""


class _Problem(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Devices(msgspec.Struct):
    resources: list[_Device] | None = None


class _Asked(msgspec.Struct):
    errors: list[_Problem] | None = None


async def _contain(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    wanted = effect.port == "crowdstrike.contain"
    aids = sure(subject.known_as("crowdstrike.aid"), "crowdstrike.aid")
    if isinstance(aids, Outcome):
        return aids
    told = shaped(
        await hand.api.post("/devices/entities/devices/v2", {"ids": list(aids)}, scope="Hosts: read"), _Devices
    )
    there = {one.device_id: one.status for one in told.resources or ()}
    if not there:
        return Outcome.refused("Falcon knows none of its sensors any more")
    asked = [aid for aid, status in there.items() if _CUT_OFF.get(status) is not wanted]
    if not asked:
        return Outcome.done(f"it was so already: {', '.join(sorted(set(there.values())))}")
    name = "contain" if wanted else "lift_containment"
    answer = await hand.api.post(
        "/devices/entities/devices-actions/v2", {"ids": asked}, {"action_name": name}, scope=_SCOPE
    )
    problems = shaped(answer, _Asked).errors or []
    if problems:
        codes = ", ".join(str(one.code) for one in problems)
        refused = all(400 <= one.code < 500 and one.code != 429 for one in problems)
        return Outcome.refused(f"Falcon's errors: {codes}") if refused else Outcome.retry(f"Falcon's errors: {codes}")
    return Outcome.done(f"{name} asked of {len(asked)} sensor{'s' if len(asked) > 1 else ''}")


ACTIONS: Final[Mapping[str, Action]] = {
    "crowdstrike.contain": _contain, "crowdstrike.lift_containment": _contain,
}  # fmt: skip
