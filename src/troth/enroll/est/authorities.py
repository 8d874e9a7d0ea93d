"""The certificates that clients of a label need to believe and to build chains (RFC 7030, 4.1)."""

from __future__ import annotations

from datetime import datetime

from troth.pki.catalogue import Catalogue
from troth.pki.profile import Profile


def ca_certificates(catalogue: Catalogue, profile: Profile, now: datetime) -> tuple[bytes, ...]:
    """DER: the authorities that have issued for ``profile``'s class or will, what is above them, cross-certificates.

    One that is only planned is told of, so that a rollover finds its clients ready; one that retires is, while what it
    issued lives. Roots in any case: a client may have to do with what another profile's authorities issued.
    """
    living = [one for one in catalogue.authorities.values() if one.state != "retired" and one.not_after > now]
    found: dict[bytes, None] = {}
    for one in living:
        if one.kind == "issuing" and profile.issuer_class in one.issuer_classes:
            found[one.certificate] = None
            for chain in catalogue.chains(one.slug):
                found.update(dict.fromkeys(chain))
        elif one.kind == "root":
            found[one.certificate] = None
    return tuple(found)
