"""Issuer classes: for whom an authority issues, so that no key can speak for everybody.

A door that anybody may knock at (ACME) has its certificates signed by a key that can name no person, no RADIUS server
and none of our own services. Whoever gets hold of that key, or of the process that may use it, has gained web servers
and devices; users' log-ons, the campus network and the installation itself stand under other keys.

An authority has one class or several (``authority.issuer_classes``), a profile has one (``Profile.issuer_class``);
the catalogue brings them together, and the signer holds each key to its own (``signer.class_rules``).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeAlias


class IssuerClass(StrEnum):
    """For whom is issued.

    ``open``: servers, devices and workloads, at doors that answer whoever proves control of a name. ``people``: users'
    log-ons, mail and code. ``infrastructure``: Troth's own listeners and services, agents, domain controllers.
    ``radius``: the servers that decide who joins the network.
    """

    OPEN = "open"
    PEOPLE = "people"
    INFRASTRUCTURE = "infrastructure"
    RADIUS = "radius"


IssuerClasses: TypeAlias = tuple[IssuerClass, ...]

#: What an authority made before there were classes serves: everybody, as it did.
EVERY: IssuerClasses = tuple(IssuerClass)


def issuer_classes(names: Iterable[str]) -> IssuerClasses:
    """``names`` in the order of :class:`IssuerClass`, without doubles. Raises ValueError for an unknown one."""
    found = {IssuerClass(name) for name in names}
    return tuple(one for one in IssuerClass if one in found)
