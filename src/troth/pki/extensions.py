"""Extensions that only some profiles have, encoded."""

from __future__ import annotations

import ipaddress

from troth.pki import der
from troth.pki.profile import CertificatePolicy, NameConstraints, Profile

#: RFC 9608: no status is told of this certificate.
NO_REV_AVAIL = "2.5.29.56"
#: RFC 7633.
TLS_FEATURE = "1.3.6.1.5.5.7.1.24"
#: TLS feature status_request (RFC 7633, 4.2.1; RFC 6066, 8).
_STATUS_REQUEST = 5


def rarer(profile: Profile) -> list[tuple[str, bool, bytes]]:
    """The extensions that few profiles have: (identifier, critical, value)."""
    parts: list[tuple[str, bool, bytes]] = []
    if profile.policies:
        parts.append(("2.5.29.32", False, der.sequence(*(_policy(policy) for policy in profile.policies))))
    if profile.name_constraints is not None:
        parts.append(("2.5.29.30", True, name_constraints(profile.name_constraints)))
    if profile.must_staple:
        parts.append((TLS_FEATURE, False, der.sequence(der.integer(_STATUS_REQUEST))))
    if profile.no_rev_avail:
        parts.append((NO_REV_AVAIL, False, der.NULL_VALUE))
    return parts


def basic_constraints(profile: Profile) -> bytes:
    """cA and path length (RFC 5280, 4.2.1.9)."""
    if profile.basic_constraints != "ca":
        return der.sequence()
    return der.sequence(der.TRUE, b"" if profile.path_length is None else der.integer(profile.path_length))


def _policy(policy: CertificatePolicy) -> bytes:
    if policy.cps is None:
        return der.sequence(der.oid(policy.oid))
    qualifier = der.sequence(der.oid("1.3.6.1.5.5.7.2.1"), der.tlv(der.IA5_STRING, policy.cps.encode("ascii")))
    return der.sequence(der.oid(policy.oid), der.sequence(qualifier))


def name_constraints(constraints: NameConstraints) -> bytes:
    """Permitted and excluded subtrees (RFC 5280, 4.2.1.10)."""

    def subtrees(number: int, entries: tuple[tuple[str, str], ...]) -> bytes:
        return der.explicit(number, b"".join(der.sequence(_subtree(*entry)) for entry in entries)) if entries else b""

    permitted, excluded = (
        tuple(pair for entry in entries for pair in entry.items())
        for entries in (constraints.permitted, constraints.excluded)
    )
    return der.sequence(subtrees(0, permitted), subtrees(1, excluded))


def _subtree(kind: str, value: str) -> bytes:
    """A GeneralName as a constraint: an address with its mask, other names as suffixes (RFC 5280, 4.2.1.10)."""
    if kind == "ip":
        network = ipaddress.ip_network(value)
        return der.implicit(7, network.network_address.packed + network.netmask.packed)
    return der.implicit({"email": 1, "dns": 2, "uri": 6}[kind], value.lower().encode("ascii"))
