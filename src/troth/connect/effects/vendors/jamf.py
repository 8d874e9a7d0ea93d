"""Jamf Pro: a static group that configuration profiles exclude. Documented behaviour, not tried live.

``PUT /JSSResource/computergroups/id/{id}`` of the Classic API with ``computer_additions`` or ``computer_deletions``;
it needs *Update Static Computer Groups*. A computer is named by its UDID. Adding a member that is one changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from troth.connect.effects.acting import Action, Hand, sure
from troth.trust.outbox.model import Effect, EffectSubject, Outcome


async def _membership(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    group = hand.option("quarantine_group")
    if not (group.isascii() and group.isdigit()):
        return Outcome.refused("the connector names no quarantine_group (a number) in its options")
    udid = subject.attributes.get("udid")
    known = sure((*subject.known_as("jamf.udid"), *([udid] if isinstance(udid, str) and udid else [])), "jamf.udid")
    if isinstance(known, Outcome):
        return known
    change = "computer_additions" if effect.port == "jamf.withdraw_profiles" else "computer_deletions"
    computers = "".join(f"<computer><udid>{escape(one)}</udid></computer>" for one in dict.fromkeys(known))
    await hand.api.answer(
        "PUT", f"/JSSResource/computergroups/id/{group}", scope="Update Static Computer Groups",
        raw=f"<computer_group><{change}>{computers}</{change}></computer_group>".encode(),
        headers={"content-type": "application/xml", "accept": "application/xml"},
    )  # fmt: skip
    return Outcome.done("it is in the group" if change == "computer_additions" else "it is out of the group")


ACTIONS: Final[Mapping[str, Action]] = {
    "jamf.withdraw_profiles": _membership, "jamf.restore_profiles": _membership,
}  # fmt: skip
