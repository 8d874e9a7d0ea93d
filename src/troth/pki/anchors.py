"""Foreign trust anchors: roots of others, for judging what they issued, each for the purposes that it was added for.

They are never handed out as this installation's roots, and nothing is issued under them. A TPM maker's root is believed
about TPMs and about nothing else: an anchor without the purpose that is asked for might as well not be there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from troth.audit.event import Event
from troth.kit.canonical import Json
from troth.pki.admission import common_name, read_authority
from troth.pki.anchor_store import ADD_ANCHOR, ANCHOR_THERE, REMOVE_ANCHOR, TrustAnchor
from troth.pki.errors import ANCHOR_EXISTS, ANCHOR_REFUSED, ANCHOR_UNKNOWN, PATH_REFUSED, AuthorityRefused, PathRefused
from troth.pki.path import validate_path
from troth.pki.usages import EXTENDED_KEY_USAGES, usage_oid
from troth.store.unit import Unit

_SHA256 = SHA256()


def read_anchor(certificate: bytes, purposes: Iterable[str], actor: str, now: datetime) -> TrustAnchor:
    """``certificate`` (DER) as an anchor. Raises AuthorityRefused for what is no CA's, or names no known purpose."""
    parsed = read_authority(certificate, now)
    named = tuple(dict.fromkeys(purposes))
    try:
        known = [usage_oid(one) for one in named]
    except ValueError as error:
        raise AuthorityRefused(ANCHOR_REFUSED, str(error)) from error
    if not known:
        raise AuthorityRefused(ANCHOR_REFUSED, f"name a purpose: {', '.join(EXTENDED_KEY_USAGES)}")
    digest = hashlib.sha256(certificate).digest()
    return TrustAnchor(digest, common_name(parsed), certificate, named, parsed.not_valid_after_utc, now, actor)


def add_anchor(unit: Unit, anchor: TrustAnchor) -> Unit:
    """Add it and its event to ``unit``."""
    unit.claim(
        ADD_ANCHOR, anchor.sha256, anchor.name, anchor.certificate, json.dumps(anchor.purposes), anchor.not_after,
        anchor.added_at, anchor.actor, refuse=AuthorityRefused(ANCHOR_EXISTS, anchor.sha256.hex()),
    )  # fmt: skip
    return unit.record(_event("trust_anchor.added", anchor, anchor.actor))


def remove_anchor(unit: Unit, anchor: TrustAnchor, *, actor: str) -> Unit:
    """Remove it in ``unit``, with its event, which holds all of it."""
    refused = AuthorityRefused(ANCHOR_UNKNOWN, anchor.sha256.hex())
    unit.guard(ANCHOR_THERE, anchor.sha256, refuse=refused, key=("trust_anchor", anchor.sha256))
    unit.write(REMOVE_ANCHOR, anchor.sha256)
    return unit.record(_event("trust_anchor.removed", anchor, actor))


def vouched_for(
    chain: Sequence[x509.Certificate],
    purpose: str,
    anchors: Iterable[TrustAnchor],
    at: datetime,
    *,
    unstated: bool = False,
) -> TrustAnchor:
    """The anchor that vouches for ``chain[0]`` for ``purpose`` (a name as in the anchor). Raises PathRefused.

    ``chain``: the certificate, then whoever signed it, and so on; the anchor itself may stand at its end. ``unstated``:
    a certificate that states no extended key usage is for the purpose, too; a device's first identity states none.
    """
    last = "no anchor is for this purpose"
    for anchor in anchors:
        if purpose not in anchor.purposes or not anchor.x509.not_valid_before_utc <= at <= anchor.not_after:
            continue
        links = [one for one in chain if one.fingerprint(_SHA256) != anchor.sha256]
        try:
            validate_path(links, anchor.x509, at=at, purpose=usage_oid(purpose), unstated=unstated)
        except PathRefused as error:
            last = f"{anchor.name}: {error.detail}"
            continue
        return anchor
    raise PathRefused(PATH_REFUSED, last)


def _event(kind: str, anchor: TrustAnchor, actor: str) -> Event:
    data: dict[str, Json] = {
        "sha256": anchor.sha256.hex(),
        "name": anchor.name,
        "purposes": list(anchor.purposes),
        "certificate": anchor.certificate.hex(),
    }
    return Event(kind, actor, (), data)
