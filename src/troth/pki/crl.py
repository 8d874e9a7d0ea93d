"""Full CRLs: built from the stored entries, numbered, signed, verified, stored, and only then published.

The rule of the gate holds here, too: number and digest are committed before the signature, and what is stored is
what was reserved. A number is the time in milliseconds, or one above the highest ever taken if that is more: it only
grows, even when a database is restored from an older backup. A CRL whose build was cut short leaves a gap in the
numbers, which RFC 5280 (5.2.3) allows; a number used twice it does not.

Entries: every certificate that is held (certificateHold) or revoked, burnt serial numbers included, until one CRL
issued after its expiry has shown it (3.3).
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from troth.audit.event import Event
from troth.kit.clock import Clock, to_seconds
from troth.kit.log import get_logger
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.catalogue import Catalogue
from troth.pki.crl_der import crl_der, crl_tbs
from troth.pki.crl_store import PRUNE, PUBLISH, PUBLISHABLE, RESERVE_CRL, CrlStore
from troth.pki.errors import CRL_OVERTAKEN, CRL_WRONG, CrlRefused
from troth.pki.events import iso
from troth.pki.model import Crl
from troth.pki.ports import CrlSigner, Interlock
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

#: nextUpdate minus thisUpdate. CRLs are published on every change and at a quarter of this besides.
LIFETIME = timedelta(hours=24)


class CrlPublisher:
    """Builds and publishes CRLs: a duty of the worker."""

    def __init__(
        self,
        database: Database,
        signer: CrlSigner,
        catalogue: Catalogue,
        interlock: Interlock,
        clock: Clock,
        *,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        self._database = database
        self._signer = signer
        self._catalogue = catalogue
        self._interlock = interlock
        self._clock = clock
        self._lifetime = lifetime

    async def due(self, authority: str) -> bool:
        """Whether the newest CRL is missing or a quarter of its life has passed."""
        window = await CrlStore(self._database).window(authority)
        return window is None or self._clock.now() >= window[0] + (window[1] - window[0]) / 4

    async def publish(self, slug: str) -> Crl:
        """Build and publish the next full CRL of the authority ``slug``.

        Raises CrlRefused (another build was faster; the signature is wrong), AuthorityRefused, ClockRefused,
        StoreError, or what the signer raises. Whatever it raises, the last CRL stays the published one.
        """
        await self._interlock.ensure()
        authority = self._catalogue.authority(slug)
        key_id = authority.crl_key()
        # 1. Read and encode.
        crl, tbs = await self._build(authority)
        # 2. Reserve number and digest.
        await self._reserve(crl, tbs)
        # 3. Sign, 4. verify.
        signature = await self._signer.sign_crl(key_id, tbs)
        if not algorithms.verifies(authority.public_key, signature, tbs):
            raise CrlRefused(CRL_WRONG, f"CRL {crl.number} of {slug}")
        der = crl_der(tbs, authority.public_key, signature)
        crl = Crl(slug, crl.number, crl.this_update, crl.next_update, der, hashlib.sha256(der).digest(), crl.entries)
        # 5. Store; only then is it there for readers.
        await self._database.commit(self._publish_unit(crl, tbs))
        log.info("crl.published", authority=slug, number=crl.number, entries=crl.entries, bytes=len(der))
        return crl

    async def _build(self, authority: Authority) -> tuple[Crl, bytes]:
        store = CrlStore(self._database)
        last = await store.last(authority.slug)
        now = self._clock.now()
        this_update = to_seconds(now)
        number = max(last.number + 1, int(now.timestamp() * 1000))
        # What had expired before the last CRL's thisUpdate was shown, expired, in that one: now it may go.
        count, entries = await store.entries(authority.slug, min(last.published or this_update, this_update))
        next_update = min(this_update + self._lifetime, authority.not_after)
        key_id = authority.x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        tbs = crl_tbs(
            issuer_name=authority.x509.subject.public_bytes(),
            issuer_key=authority.public_key,
            issuer_key_id=key_id,
            number=number,
            this_update=this_update,
            next_update=next_update,
            entries=entries,
        )
        return Crl(authority.slug, number, this_update, next_update, b"", b"", count), tbs

    async def _reserve(self, crl: Crl, tbs: bytes) -> None:
        digest = hashlib.sha256(tbs).digest()
        unit = Unit().claim(
            RESERVE_CRL,
            crl.authority,
            crl.number,
            digest,
            crl.this_update,
            crl.next_update,
            crl.entries,
            self._clock.now(),
            refuse=CrlRefused(CRL_OVERTAKEN, f"number {crl.number} of {crl.authority} is taken"),
        )
        unit.record(_event("crl.reserved", crl, {"tbs_sha256": digest.hex()}))
        await self._database.commit(unit)

    def _publish_unit(self, crl: Crl, tbs: bytes) -> Unit:
        refusal = CrlRefused(CRL_OVERTAKEN, f"a CRL above {crl.number} of {crl.authority} is published")
        return publish_unit(crl, tbs, refusal)


def publish_unit(crl: Crl, tbs: bytes, refusal: CrlRefused) -> Unit:
    """What makes a reserved CRL the published one."""
    unit = Unit().guard(
        PUBLISHABLE,
        crl.authority,
        crl.number,
        hashlib.sha256(tbs).digest(),
        refuse=refusal,
        key=("crl", crl.authority),
    )
    unit.write(PUBLISH, crl.authority, crl.number, crl.der, crl.sha256)
    unit.write(PRUNE, crl.authority, crl.number)
    return unit.record(_event("crl.published", crl, {"sha256": crl.sha256.hex()}))


def _event(kind: str, crl: Crl, more: dict[str, str]) -> Event:
    return Event(
        kind,
        "system:crl",
        (f"authority:{crl.authority}",),
        {
            "authority": crl.authority,
            "number": crl.number,
            "entries": crl.entries,
            "this_update": iso(crl.this_update),
            "next_update": iso(crl.next_update),
            **more,
        },
    )


async def import_crl(database: Database, authority: Authority, der: bytes, clock: Clock) -> Crl:
    """Publish a CRL that was signed elsewhere: an offline root's. Raises CrlRefused unless it is that authority's."""
    try:
        parsed = x509.load_der_x509_crl(der)
        number = parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        algorithms.verify(authority.public_key, parsed.signature, parsed.tbs_certlist_bytes)
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound, InvalidSignature) as error:
        raise CrlRefused(CRL_WRONG, f"not a CRL of {authority.slug}") from error
    if parsed.issuer != authority.x509.subject or parsed.next_update_utc is None or number >= 1 << 63:
        raise CrlRefused(CRL_WRONG, f"not a CRL of {authority.slug}")
    tbs = parsed.tbs_certlist_bytes
    encoded = parsed.public_bytes(Encoding.DER)
    crl = Crl(
        authority.slug,
        number,
        parsed.last_update_utc,
        parsed.next_update_utc,
        encoded,
        hashlib.sha256(encoded).digest(),
        len(parsed),
    )
    refusal = CrlRefused(CRL_OVERTAKEN, f"number {number} of {authority.slug} is taken")
    digest = hashlib.sha256(tbs).digest()
    unit = Unit().claim(
        RESERVE_CRL,
        crl.authority,
        number,
        digest,
        crl.this_update,
        crl.next_update,
        crl.entries,
        clock.now(),
        refuse=refusal,
    )
    await database.commit(unit.record(_event("crl.reserved", crl, {"tbs_sha256": digest.hex()})))
    await database.commit(publish_unit(crl, tbs, refusal))
    return crl
