"""``vpn.terminate``: ends the IKE SAs of a subject at a strongSwan gateway on this machine.

An IKE SA outlives the certificate that it was made with until it is re-authenticated, unless it is ended. Whose it is
is told by the identity that the peer has proved: ``remote-id``, or after EAP or XAuth the identity proved there. That
it does not come back is the policy's business, and OCSP's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from troth.connect.effects.targets import Targets, target_of
from troth.connect.effects.vici import Value, ViciError, ViciSession
from troth.trust.outbox.model import Effect, EffectSubject, Outcome
from troth.trust.outbox.reactions import ViciTarget

_PROVED: Final = ("remote-id", "remote-eap-id", "remote-xauth-id")
_COMMON_NAME = re.compile(r"(?:\A|, )CN=([^,]+)")


class VpnPort:
    """``vpn.terminate``."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    async def execute(self, effect: Effect, subject: EffectSubject) -> Outcome:
        """See :class:`~troth.trust.outbox.model.EffectPort`. Repeating it finds nothing more to end."""
        target = await target_of(self._targets, effect.target, ViciTarget)
        known = identities(target, subject)
        try:
            async with ViciSession(target.socket) as session:
                found = [
                    unique for event in await session.stream("list-sas", "list-sa") for unique in _of(event, known)
                ]
                for unique in found:
                    # `force`: without waiting for a peer that may not answer, which is the point of cutting it off.
                    answer = await session.request("terminate", {"ike-id": unique, "force": "yes", "timeout": "-1"})
                    # One that has gone meanwhile is as good as ended.
                    if answer.get("success") != "yes" and answer.get("matches", "0") != "0":
                        return Outcome.retry(f"charon did not end {unique}: {str(answer.get('errmsg', ''))[:200]}")
        except (OSError, EOFError, ViciError) as error:
            return Outcome.retry(f"{target.socket}: {str(error) or type(error).__name__}")
        if not found:
            return Outcome.done("it has no VPN connection here")
        return Outcome.done(f"ended {len(found)} VPN connection{'s' if len(found) > 1 else ''}")


def identities(target: ViciTarget, subject: EffectSubject) -> frozenset[str]:
    """What the subject is known by at the gateway, without regard to case."""
    found: list[object] = []
    for kind in target.identities:
        if kind == "names":
            found += subject.names
        elif kind == "name":
            found.append(subject.name)
        else:
            found.append(subject.attributes.get(kind))
    return frozenset(one.casefold() for one in found if isinstance(one, str) and one)


def _of(event: Mapping[str, Value], known: frozenset[str]) -> list[str]:
    """Unique ids of the IKE SAs in one event whose proved identity is among ``known``."""
    found = []
    for sa in event.values():
        if not isinstance(sa, dict):
            continue
        unique = sa.get("uniqueid")
        if isinstance(unique, str) and any(_named(sa.get(field), known) for field in _PROVED):
            found.append(unique)
    return found


def _named(identity: Value | None, known: frozenset[str]) -> bool:
    if not isinstance(identity, str):
        return False
    common = _COMMON_NAME.search(identity)
    return identity.casefold() in known or (common is not None and common[1].strip().casefold() in known)
