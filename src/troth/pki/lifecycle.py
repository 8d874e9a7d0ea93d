"""The states of an authority, and what it takes to go from one to another.

    planned ──► active ◄──► retiring ──► retired
       └────────────────────────────────────┘

``planned``: known, its certificate served, its key bound; it signs nothing yet. ``active``: it issues. ``retiring``: it
issues nothing and can come back, which is how a rollover is backed out of. ``retired``: it issues nothing ever again.
Whatever it has issued goes on: a retiring or retired authority signs its CRLs and has its OCSP responder renewed until
the last of its certificates has expired.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.pki.authorities import Authority, AuthorityState
from troth.pki.authority_store import AUTHORITY_IN_STATE, SET_AUTHORITY_STATE
from troth.pki.errors import AUTHORITY_INACTIVE, AUTHORITY_STATE, AuthorityRefused
from troth.store.unit import Unit

#: From where an authority goes where. Nothing leaves ``retired``: a key that was given up may have been destroyed.
TRANSITIONS: Mapping[str, tuple[AuthorityState, ...]] = {
    "planned": ("active", "retired"),
    "active": ("retiring",),
    "retiring": ("active", "retired"),
    "retired": (),
}


def check_transition(authority: Authority, state: str, now: datetime) -> None:
    """Raise AuthorityRefused unless ``authority`` may go to ``state`` now."""
    if state not in TRANSITIONS[authority.state]:
        could = " or ".join(TRANSITIONS[authority.state]) or "nothing else"
        raise AuthorityRefused(
            AUTHORITY_STATE, f"authority {authority.slug} is {authority.state} and can become {could}, not {state}",
            state=authority.state,
        )  # fmt: skip
    if state != "active":
        return
    if not authority.x509.not_valid_before_utc <= now < authority.not_after:
        raise AuthorityRefused(AUTHORITY_STATE, f"the certificate of {authority.slug} is not in force")
    if authority.kind == "issuing" and authority.key_id is None:
        raise AuthorityRefused(AUTHORITY_STATE, f"the signer holds no key of {authority.slug}")


def change_state(
    unit: Unit, authority: Authority, state: AuthorityState, *, actor: str, more: Mapping[str, Json] | None = None
) -> Unit:
    """Move ``authority`` to ``state`` in ``unit``: only from the state in which it was seen, and with its event."""
    slug = authority.slug
    refused = AuthorityRefused(AUTHORITY_INACTIVE, f"authority {slug} is not {authority.state} any more")
    unit.guard(AUTHORITY_IN_STATE, slug, authority.state, refuse=refused, key=("authority", slug))
    unit.write(SET_AUTHORITY_STATE, slug, state)
    data: dict[str, Json] = {"slug": slug, "before": authority.state, "state": state, **(more or {})}
    return unit.record(Event("authority.state_changed", actor, (f"authority:{slug}",), data))


def without_issuer(authorities: Mapping[str, Authority], leaving: str) -> tuple[str, ...]:
    """The issuer classes that nobody serves any more once ``leaving`` does not issue."""
    gone = authorities[leaving]
    others = [one for one in authorities.values() if one.slug != leaving]
    return tuple(
        name.value
        for name in gone.issuer_classes
        if gone.issues_for(name) and not any(one.issues_for(name) for one in others)
    )
