"""SQL of the RADIUS server's certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from troth.store.statement import Write
from troth.store.unit import Reader

ADD = Write(
    "radius_identity_add",
    """INSERT INTO radius_identity (certificate_id, name, authority, key_id, chain, not_before, not_after)
       SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                            $7::timestamptz[])""",
    ("uuid", "text", "text", "text", "text", "timestamptz", "timestamptz"),
    rank=72,
)

# One that was revoked (its key is in other hands, say) is as if there were none. Of several the youngest of its kind of
# key: it is the one for the name that is configured now. There are two or three.
_CURRENT = """SELECT i.certificate_id, i.name, i.authority, i.key_id, i.chain, i.not_before, i.not_after
    FROM radius_identity i JOIN certificate c ON c.id = i.certificate_id AND c.status = 'good'
    WHERE i.not_after > $1 ORDER BY i.not_before DESC, i.certificate_id DESC LIMIT 100"""


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """A certificate of the RADIUS server.

    Attributes:
        name: DNS name in it.
        authority: slug of its issuer.
        key_id: of its key in the signer.
        chain: PEM, leaf first, without the root.
    """

    certificate_id: UUID
    name: str
    authority: str
    key_id: str
    chain: str
    not_before: datetime
    not_after: datetime

    @property
    def rsa(self) -> bool:
        """Whether its key is an RSA key."""
        return isinstance(x509.load_pem_x509_certificate(self.chain.encode()).public_key(), rsa.RSAPublicKey)


class IdentityReader:
    """Reads of the server's certificates."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def current(self, now: datetime, *, rsa: bool = False) -> IdentityRecord | None:
        """The youngest that is not revoked, held or expired; ``rsa``: of those with an RSA key, not of the others."""
        found = (IdentityRecord(**dict(row)) for row in await self._reader.fetch(_CURRENT, now))
        return next((one for one in found if one.rsa is rsa), None)
