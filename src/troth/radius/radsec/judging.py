"""Whether the certificates of peers are believed: ours by the record, others' by the lists that were handed over.

1. What vouches must still be an authority or anchor that RadSec believes; one that is taken out takes its peers along.
2. Of ours, the record must have it (a stolen key of an authority makes no access server), and neither held nor revoked.
3. Of others, no list may name it or what is above it. Where no list is in force, it is believed: its end bounds that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.radius.admission.chains import Vouched, read_shown
from troth.radius.admission.foreign import ForeignCrl, check_revocation
from troth.radius.admission.service import Ground
from troth.radius.radsec import store
from troth.radius.radsec.names import PeerCertificate
from troth.store.unit import Reader


@dataclass(frozen=True, slots=True)
class Believed:
    """Who vouches for peers: DER of each, and whether it is ours."""

    anchors: Mapping[bytes, bool]

    @classmethod
    def of(cls, ground: Ground, authorities: Sequence[str], anchors: Sequence[str]) -> Believed:
        """Those of the settings that there are; a name that is nobody's vouches for nobody."""
        found: dict[bytes, bool] = {}
        for slug in authorities:
            authority = ground.anchors.authorities.get(slug)
            if authority is not None and authority.state != "planned":
                found[authority.x509.public_bytes(Encoding.DER)] = True
        for name in anchors:
            anchor = ground.anchors.foreign.get(name)
            if anchor is not None and "clientAuth" in anchor.purposes:
                found[anchor.x509.public_bytes(Encoding.DER)] = False
        return cls(found)


async def judged(
    certificates: Collection[PeerCertificate],
    believed: Believed,
    lists: Mapping[bytes, ForeignCrl],
    reader: Reader,
    at: datetime,
) -> Mapping[bytes, tuple[str, str]]:
    """Of those that are not believed: leaf → reason code and words. Raises Unavailable."""
    against: dict[bytes, tuple[str, str]] = {}
    ours: dict[bytes, bytes] = {}
    for one in certificates:
        top = next((link for link in reversed(one.chain[1:]) if link in believed.anchors), None)
        if top is None:
            against[one.leaf] = ("radsec.peer.unknown", "no authority that RadSec believes vouches for it")
        elif one.not_after <= at:
            against[one.leaf] = ("radsec.peer.distrusted", "it has ended")
        elif believed.anchors[top]:
            ours[hashlib.sha256(one.leaf).digest()] = one.leaf
        else:
            revoked = _revoked(one, top, lists, at)
            if revoked is not None:
                against[one.leaf] = ("radsec.peer.distrusted", f"revoked by its issuer: {revoked}")
    known = await store.recorded(reader, ours.keys()) if ours else {}
    for digest, leaf in ours.items():
        record = known.get(digest)
        if record is None:
            against[leaf] = ("radsec.peer.unknown", "it is not in the record of what was issued")
        elif record.status != "good":
            against[leaf] = ("radsec.peer.distrusted", f"it is {record.status}")
    return against


def _revoked(one: PeerCertificate, top: bytes, lists: Mapping[bytes, ForeignCrl], at: datetime) -> str | None:
    links = [x509.load_der_x509_certificate(der) for der in one.chain[: one.chain.index(top)]]
    anchor = x509.load_der_x509_certificate(top)
    vouched = Vouched(
        "", False, read_shown(links[0]), tuple(links), anchor, anchor.not_valid_before_utc, anchor.not_valid_after_utc
    )
    return check_revocation(vouched, lists, at).revoked
