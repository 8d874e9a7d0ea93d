"""The RADIUS server, as operators see it: what devices must be told of it."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from troth.kit.clock import Clock
from troth.pki.authorities import Authority, find
from troth.pki.catalogue import Catalogue
from troth.pki.pem import pem_chain
from troth.radius.eap.errors import NO_IDENTITY
from troth.radius.identity.issuing import renewal_of
from troth.radius.identity.store import IdentityReader
from troth.store.pool import Database
from troth.web.errors import WebError
from troth.web.radius_views import AnchorView, RadiusIdentityView


class RadiusBook:
    """Looking at the server's identity."""

    def __init__(self, database: Database, catalogue: Catalogue, clock: Clock) -> None:
        self._database = database
        self._catalogue = catalogue
        self._clock = clock

    async def identity(self) -> RadiusIdentityView:
        """The certificate in force that Troth has made. Raises WebError when there is none."""
        found = await self.present()
        if found is None:
            raise WebError(NO_IDENTITY)
        return found

    async def present(self) -> RadiusIdentityView | None:
        """As :meth:`identity`, or None."""
        record = await IdentityReader(self._database).current(self._clock.now())
        if record is None:
            return None
        await self._catalogue.refresh()
        leaf = x509.load_pem_x509_certificate(record.chain.encode())
        anchor = _anchor(self._catalogue, record.authority)
        return RadiusIdentityView(
            name=record.name,
            serial=f"{leaf.serial_number:x}",
            sha256=leaf.fingerprint(hashes.SHA256()).hex(),
            issuer=leaf.issuer.rfc4514_string(),
            authority=record.authority,
            not_before=record.not_before,
            not_after=record.not_after,
            renewed_at=renewal_of(record),
            chain=record.chain,
            anchor=AnchorView(
                subject=anchor.x509.subject.rfc4514_string(),
                sha256=anchor.sha256.hex(),
                not_after=anchor.not_after,
                pem=pem_chain([anchor.certificate]).decode(),
            ),
            supplicant=f'ca_cert="root.pem"\ndomain_suffix_match="{record.name}"',
        )


def _anchor(catalogue: Catalogue, slug: str) -> Authority:
    """The root above an authority."""
    one = find(slug, catalogue.authorities)
    for _ in range(8):
        if one.parent is None:
            break
        one = find(one.parent, catalogue.authorities)
    return one
