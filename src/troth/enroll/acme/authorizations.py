"""How an order's authorizations come to be: anew, on a proof that the account holds, or on its enrolment's word."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from troth.client.jose import b64url_encode
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.identifiers import offered_challenges
from troth.enroll.acme.model import DNS_01, HTTP_01, Authorization, Challenge, Order
from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.views import rfc3339
from troth.kit.ids import new_id


@dataclass(frozen=True)
class Proofs:
    """What the account has proved before.

    Attributes:
        names: valid authorizations by name, ``*.`` included.
        domains: those that hold for all names below theirs (RFC 9444), by domain.
    """

    names: Mapping[str, Authorization] = field(default_factory=dict)
    domains: Mapping[str, Authorization] = field(default_factory=dict)

    def of(self, name: Identifier) -> Authorization | None:
        """The proof of ``name``: its own, or the nearest domain's above it.

        A device that is called like a host proves nothing of the host: the types must be the same.
        """
        own = self.names.get(name.value)
        if own is not None and own.identifier.type == name.type:
            return own
        if name.type != "dns":
            return None
        return next((self.domains[one] for one in domains_above(name.value) if one in self.domains), None)


def domains_above(name: str) -> list[str]:
    """The name without ``*.`` itself, then what is above it, up to the last label but one."""
    labels = name.removeprefix("*.").split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]


def authorize(
    order: Order,
    directory: Directory,
    *,
    vouched: frozenset[Identifier],
    ancestors: Mapping[Identifier, str],
    proofs: Proofs,
    now: datetime,
) -> dict[Identifier, Authorization]:
    """For each of the order's names its authorization; names below one domain may share one.

    ``ancestors``: the domain whose proof the client offers in place of the name's own. Raises AcmeProblem for a name
    that nobody can prove here.
    """
    made: dict[Identifier, Authorization] = {}
    shared: dict[str, Authorization] = {}
    for name in order.identifiers:
        domain = ancestors.get(name)
        if name in vouched:
            made[name] = _vouched_for(order, name, now)
        elif (proof := proofs.of(name)) is not None:
            if proof.subdomains:
                made[name] = shared.setdefault(proof.identifier.value, _again(order, proof))
            else:
                made[name] = _again(order, proof)
        elif domain is not None:
            if domain not in shared:
                shared[domain] = _anew(order, Identifier("dns", domain), directory, subdomains=True)
            made[name] = shared[domain]
        else:
            made[name] = _anew(order, name, directory)
    return made


def _anew(order: Order, name: Identifier, directory: Directory, *, subdomains: bool = False) -> Authorization:
    wildcard = name.value.startswith("*.")
    return Authorization(
        id=new_id(),
        order_id=order.id,
        account_id=order.account_id,
        identifier=Identifier(name.type, name.value.removeprefix("*.")),
        wildcard=wildcard,
        status="pending",
        expires=order.expires,
        challenges=offered_challenges(name, directory.challenges, directory.issuers, wide=wildcard or subdomains),
        subdomains=subdomains,
    )


def _again(order: Order, proof: Authorization) -> Authorization:
    """An authorization on a proof that the account holds; it lasts as long as that."""
    return replace(proof, id=new_id(), order_id=order.id)


def _vouched_for(order: Order, name: Identifier, now: datetime) -> Authorization:
    """An authorization on the word of the account's enrolment.

    Clients want to see the challenge that proved it (section 7.1.4; acme.sh refuses a wildcard without one), so one is
    shown, of the type that fits most; ``by`` remembers that nobody answered it.
    """
    wildcard = name.value.startswith("*.")
    kind = DNS_01 if name.type == "dns" else HTTP_01
    challenge = Challenge(kind, b64url_encode(secrets.token_bytes(16)), "valid", rfc3339(now), by="enrolment")
    return Authorization(
        id=new_id(),
        order_id=order.id,
        account_id=order.account_id,
        identifier=Identifier(name.type, name.value.removeprefix("*.")),
        wildcard=wildcard,
        status="valid",
        expires=order.expires,
        challenges=(challenge,),
    )


def covers(proved: Mapping[Identifier, Authorization], name: Identifier) -> Authorization | None:
    """The authorization among ``proved`` that shows control of ``name``."""
    own = proved.get(name)
    if own is not None or name.type != "dns":
        return own
    above = (proved.get(Identifier("dns", domain)) for domain in domains_above(name.value))
    return next((found for found in above if found is not None and found.subdomains), None)


def replace_challenge(challenge: Challenge, **changes: Any) -> Challenge:
    """``challenge`` with some members changed."""
    return replace(challenge, **changes)


def with_challenge(authz: Authorization, changed: Challenge) -> Authorization:
    """``authz`` with the challenge of that type replaced."""
    return replace(authz, challenges=tuple(changed if c.type == changed.type else c for c in authz.challenges))


def unproved(made: Mapping[Identifier, Authorization]) -> Sequence[Identifier]:
    """The names whose authorization is still to be proved."""
    return [name for name, authz in made.items() if authz.status != "valid"]
