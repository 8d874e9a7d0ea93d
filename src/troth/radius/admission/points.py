"""Where certificates say that their issuer's revocation list lies (RFC 5280, 4.2.1.13), as far as that is of use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.pki.unreadable import UNREADABLE

#: Of one certificate.
_MOST: Final = 4
#: That are remembered between two looks, and as told.
_LEARNED: Final = 256
_TOLD: Final = 4_096
LONGEST_URL: Final = 500


def is_list_url(url: str) -> bool:
    """Whether a list could be fetched from there, as far as the address itself says."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def points_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Addresses of complete lists of the certificate's own issuer: no indirect ones, none for some reasons alone."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    found = [
        name.value
        for point in points
        if point.crl_issuer is None and point.reasons is None
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier) and is_list_url(name.value)
    ]
    return tuple(dict.fromkeys(found))[:_MOST]


class Learned:
    """What the paths of strangers have said, until somebody writes it down. Belongs to one event loop."""

    def __init__(self) -> None:
        self._fresh: dict[tuple[str, str], tuple[bytes, ...]] = {}
        self._told: dict[tuple[int, str, str], None] = {}

    def see(self, version: int, anchor: str, links: Sequence[x509.Certificate]) -> None:
        """Look at a path that holds; ``version``: of the network, after whose change all of it is told again."""
        for place, link in enumerate(links):
            for url in points_of(link):
                told = (version, anchor, url)
                if told in self._told or len(self._fresh) >= _LEARNED:
                    continue
                if len(self._told) >= _TOLD:
                    self._told.clear()
                self._told[told] = None
                signers = links[place + 1 :]
                self._fresh[anchor, url] = tuple(one.public_bytes(Encoding.DER) for one in signers)

    def take(self) -> Mapping[tuple[str, str], tuple[bytes, ...]]:
        """(anchor, address) → who signs the list and those up to the anchor, of all that is new."""
        found, self._fresh = self._fresh, {}
        return found

    def put_back(self, taken: Mapping[tuple[str, str], tuple[bytes, ...]]) -> None:
        """It could not be written down."""
        self._fresh = {**taken, **self._fresh}
