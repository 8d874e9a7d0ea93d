"""Names of what a fresh installation has."""

from __future__ import annotations

from dataclasses import dataclass

from troth.pki.issuer_classes import IssuerClass

ROOT = "root"


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """An issuing authority of a fresh installation; ``name`` ends its common name."""

    slug: str
    name: str
    issuer_class: IssuerClass


#: In the order in which their keys are made, one for each class. The open one keeps the name that it had when it was
#: the only one.
ISSUING = (
    NewAuthority("issuing", "Issuing CA I1", IssuerClass.OPEN),
    NewAuthority("people", "People CA P1", IssuerClass.PEOPLE),
    NewAuthority("infrastructure", "Infrastructure CA N1", IssuerClass.INFRASTRUCTURE),
    NewAuthority("radius", "RADIUS CA W1", IssuerClass.RADIUS),
)
