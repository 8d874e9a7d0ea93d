"""The RADIUS server, as operators see it: what devices must be told of it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from troth.kit.clock import Clock
from troth.pki.authorities import Authority, find
from troth.pki.catalogue import Catalogue
from troth.radius.eap.errors import NO_IDENTITY, UNUSABLE_IDENTITY
from troth.radius.identity.issuing import renewal_of
from troth.radius.identity.store import IdentityReader, IdentityRecord
from troth.store.pool import Database
from troth.web.errors import WebError
from troth.web.radius_views import AnchorView, RadiusIdentityView

_MAX_FILE = 256 * 1024


class RadiusBook:
    """Looking at the server's identity."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        clock: Clock,
        certificate: str = "",
        *,
        rsa_certificate: str = "",
        rsa_authority: str = "",
    ) -> None:
        """``certificate``: path of the one that people keep; empty: Troth makes it. The second: either its path, or the
        authority that Troth has it made by; both empty: there is none."""
        self._database = database
        self._catalogue = catalogue
        self._clock = clock
        self._file = Path(certificate) if certificate else None
        self._second_file = Path(rsa_certificate) if rsa_certificate else None
        self._second_issued = bool(rsa_authority) and not rsa_certificate

    async def identity(self) -> RadiusIdentityView:
        """What is shown to devices. Raises WebError when there is nothing."""
        found = await self.present()
        if found is None:
            raise WebError(NO_IDENTITY)
        return found

    async def present(self) -> RadiusIdentityView | None:
        """As :meth:`identity`, or None."""
        first = self._kept(self._file) if self._file is not None else await self._issued(rsa=False)
        if first is None:
            return None
        return replace(first, second=await self._second())

    @property
    def wants_second(self) -> bool:
        """Whether there is to be a second one."""
        return self._second_issued or self._second_file is not None

    async def _second(self) -> RadiusIdentityView | None:
        if self._second_file is not None:
            return self._kept(self._second_file)
        return await self._issued(rsa=True) if self._second_issued else None

    async def _issued(self, *, rsa: bool) -> RadiusIdentityView | None:
        record = await IdentityReader(self._database).current(self._clock.now(), rsa=rsa)
        if record is None:
            return None
        await self._catalogue.refresh()
        chain = x509.load_pem_x509_certificates(record.chain.encode())
        return _view(chain, _root_above(self._catalogue, record.authority).x509, record)

    def _kept(self, path: Path) -> RadiusIdentityView:
        try:
            with path.open("rb") as file:
                leaf, *above = x509.load_pem_x509_certificates(file.read(_MAX_FILE))
        except (OSError, ValueError) as error:
            raise WebError(UNUSABLE_IDENTITY, f"{path} cannot be read") from error
        roots = [one for one in above if one.issuer == one.subject]
        return _view([leaf, *(one for one in above if one not in roots)], roots[0] if roots else None, None)


def _view(
    chain: list[x509.Certificate], root: x509.Certificate | None, record: IdentityRecord | None
) -> RadiusIdentityView:
    leaf = chain[0]
    name = record.name if record is not None else _name_in(leaf)
    return RadiusIdentityView(
        name=name,
        serial=f"{leaf.serial_number:x}",
        sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        issuer=leaf.issuer.rfc4514_string(),
        authority=record.authority if record is not None else "",
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        renewed_at=renewal_of(record) if record is not None else None,
        chain="".join(_pem(one) for one in chain),
        anchor=None
        if root is None
        else AnchorView(
            subject=root.subject.rfc4514_string(),
            sha256=root.fingerprint(hashes.SHA256()).hex(),
            not_after=root.not_valid_after_utc,
            pem=_pem(root),
        ),
        supplicant=f'ca_cert="root.pem"\ndomain_match="{name}"',
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _name_in(leaf: x509.Certificate) -> str:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.DNSName)), "")


def _root_above(catalogue: Catalogue, slug: str) -> Authority:
    one = find(slug, catalogue.authorities)
    for _ in range(8):
        if one.parent is None:
            break
        one = find(one.parent, catalogue.authorities)
    return one
