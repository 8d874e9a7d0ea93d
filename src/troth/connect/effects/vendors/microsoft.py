"""Microsoft: Entra ID and Intune by Graph v1.0, Defender for Endpoint by its own API. Documented, not tried live.

| port | request | application permission |
|---|---|---|
| entra.revoke_sessions | ``POST /users/{id}/revokeSignInSessions`` | User.RevokeSessions.All |
| entra.confirm_compromised, dismiss_risk | ``POST /identityProtection/riskyUsers/confirmCompromised``, ``dismiss`` | IdentityRiskyUser.ReadWrite.All |
| intune.withdraw_profiles, restore_profiles | members of the group in the option ``quarantine_group`` | GroupMember.ReadWrite.All, Device.Read.All |
| defender.isolate, unisolate | ``POST /api/machines/{id}/isolate``, ``unisolate`` | Machine.Isolate |

Intune has no request that takes a profile from one device; a group that the profiles' assignments exclude does it, and
is taken back.
"""  # noqa: E501 -- a table

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from troth.connect.api import json_of, shaped
from troth.connect.effects.acting import Action, Hand, sure, user_of
from troth.kit.http import Answer
from troth.trust.outbox.model import Effect, EffectSubject, Outcome

_RISKY: Final = "/v1.0/identityProtection/riskyUsers"
_MEMBERS: Final = "GroupMember.ReadWrite.All"


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Failed(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class _Object(msgspec.Struct):
    id: str = ""


# --- Entra ID --------------------------------------------------------------------------------------------------------


async def _revoke_sessions(hand: Hand, _effect: Effect, subject: EffectSubject) -> Outcome:
    user = user_of(subject)
    if user is None:
        return Outcome.refused("it is no user and belongs to none")
    upn = user.attributes.get("upn")
    known = sure((*user.known_as("entra.user"), *([upn] if isinstance(upn, str) and upn else [])), "entra.user")
    if isinstance(known, Outcome):
        return known
    await hand.api.answer(
        "POST", f"/v1.0/users/{quote(known[0], safe='')}/revokeSignInSessions", scope="User.RevokeSessions.All"
    )
    return Outcome.done("its sign-in sessions are revoked")


async def _risk(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    user = user_of(subject)
    if user is None:
        return Outcome.refused("it is no user and belongs to none")
    known = sure(user.known_as("entra.user"), "entra.user")
    if isinstance(known, Outcome):
        return known
    verb = "confirmCompromised" if effect.port == "entra.confirm_compromised" else "dismiss"
    await hand.api.answer(
        "POST", f"{_RISKY}/{verb}", body={"userIds": list(known)}, scope="IdentityRiskyUser.ReadWrite.All"
    )
    return Outcome.done(f"{verb} is set")


# --- Intune ----------------------------------------------------------------------------------------------------------


async def _membership(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    group = quote(hand.option("quarantine_group"), safe="")
    if not group:
        return Outcome.refused("the connector names no quarantine_group in its options")
    devices = sure(subject.known_as("entra.device"), "entra.device")
    if isinstance(devices, Outcome):
        return devices
    for device in devices:
        # The alias is the deviceId that the device itself shows; members are named by the id of the directory object.
        found = shaped(
            await hand.api.get(
                f"/v1.0/devices(deviceId='{quote(device, safe='')}')", {"$select": "id"}, scope="Device.Read.All"
            ),
            _Object,
        ).id
        if not found:
            return Outcome.refused(f"Entra ID has no object of the device {device[:40]}")
        if effect.port == "intune.withdraw_profiles":
            member = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{found}"}
            answer = await hand.api.answer(
                "POST", f"/v1.0/groups/{group}/members/$ref", body=member, scope=_MEMBERS,
                good=frozenset({200, 201, 204, 400}),
            )  # fmt: skip
            if answer.status == 400 and "already exist" not in _failed(answer).message:
                return Outcome.refused(f"Graph refused it: {_failed(answer).code[:80]}")
        else:
            await hand.api.answer(
                "DELETE", f"/v1.0/groups/{group}/members/{quote(found, safe='')}/$ref", scope=_MEMBERS,
                good=frozenset({200, 204, 404}),
            )  # fmt: skip
    return Outcome.done("it is in the group" if effect.port == "intune.withdraw_profiles" else "it is out of the group")


# --- Defender --------------------------------------------------------------------------------------------------------


async def _isolate(hand: Hand, effect: Effect, subject: EffectSubject) -> Outcome:
    machines = sure(subject.known_as("defender.machine"), "defender.machine")
    if isinstance(machines, Outcome):
        return machines
    verb = effect.port.partition(".")[2]
    body = {"Comment": f"Troth, effect {effect.id}"}
    if verb == "isolate":
        body["IsolationType"] = hand.option("isolation_type") or "Full"
    for machine in machines:
        answer = await hand.api.answer(
            "POST", f"/api/machines/{quote(machine, safe='')}/{verb}", body=body, scope="Machine.Isolate",
            good=frozenset({200, 201, 202, 400}),
        )  # fmt: skip
        # The same is under way already: a repetition, or somebody else's.
        if answer.status == 400 and _failed(answer).code != "ActiveRequestAlreadyExists":
            return Outcome.refused(f"Defender refused it: {_failed(answer).code[:80]}")
    return Outcome.done(f"{verb} asked of {len(machines)} machine{'s' if len(machines) > 1 else ''}")


def _failed(answer: Answer) -> _Error:
    failed: _Failed = shaped(json_of(answer), _Failed)
    return failed.error


ENTRA: Final[Mapping[str, Action]] = {
    "entra.revoke_sessions": _revoke_sessions, "entra.confirm_compromised": _risk, "entra.dismiss_risk": _risk,
}  # fmt: skip
INTUNE: Final[Mapping[str, Action]] = {
    "intune.withdraw_profiles": _membership, "intune.restore_profiles": _membership,
}  # fmt: skip
DEFENDER: Final[Mapping[str, Action]] = {"defender.isolate": _isolate, "defender.unisolate": _isolate}
