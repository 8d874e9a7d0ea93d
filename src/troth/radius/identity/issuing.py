"""Has the RADIUS server's certificate made and renewed: a duty of the worker, safe to be tried by several at once.

At two thirds of its life there is a new one, with a new key: devices are told an authority and a name, never a
certificate, so they notice nothing. Where the authority itself is followed by another, so is the certificate, at once:
the chain is sent along, and devices that trust the root go on. Those that were told the issuing authority alone must be
told of the next one before it issues; docs/radius-eap.md says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from troth.audit.event import Event
from troth.kit.clock import Clock, ledger_time
from troth.kit.log import get_logger
from troth.pki.authorities import Authority, find
from troth.pki.catalogue import Catalogue
from troth.pki.gate import Gate
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyPurpose
from troth.pki.model import Binding, IssuanceRequest, IssuedCertificate
from troth.pki.pem import pem_chain
from troth.pki.ports import ResponderKeys
from troth.radius.eap.errors import UNUSABLE_IDENTITY, IdentityUnusable
from troth.radius.identity.store import ADD, IdentityReader, IdentityRecord
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("radius")

PROFILE = "radius-server"
_ACTOR = "system:radius"


def renewal_of(record: IdentityRecord) -> datetime:
    """When there is to be a new one."""
    return record.not_before + (record.not_after - record.not_before) * 2 / 3


class ServerCertificates:
    """Keeps a certificate in force for one name."""

    def __init__(
        self,
        database: Database,
        gate: Gate,
        keys: ResponderKeys,
        catalogue: Catalogue,
        clock: Clock,
        *,
        name: str,
        subject: Callable[[], Awaitable[UUID]],
        rsa_authority: str = "",
    ) -> None:
        """``name``: DNS name of the server. ``subject``: the protected workload that the certificate is bound to, so
        that no signal can put the network's own door on hold. ``rsa_authority``: slug of the authority that issues the
        second certificate, with an RSA key; empty: there is none."""
        self._database = database
        self._gate = gate
        self._keys = keys
        self._catalogue = catalogue
        self._clock = clock
        self._name = name
        self._subject = subject
        self._rsa_authority = rsa_authority

    async def ensure(self) -> IdentityRecord:
        """The certificate now, made anew if that is due. Raises what the gate or the signer raises."""
        # ECDSA: an RSA signature costs fifteen times as much, and its chain a round trip more.
        return await self._ensured(self._catalogue.issuer_for(PROFILE), KeyAlgorithm.P256)

    async def ensure_second(self) -> IdentityRecord:
        """The same for devices that do not do ECDSA. Raises IdentityUnusable, too.

        They verify no ECDSA signature of an authority either, so it is one with an RSA key that issues it.
        """
        await self._catalogue.refresh()
        issuer = find(self._rsa_authority, self._catalogue.authorities)
        if not isinstance(issuer.public_key, rsa.RSAPublicKey):
            raise IdentityUnusable(
                UNUSABLE_IDENTITY, f"radius.rsa_authority: the authority {issuer.slug} has no RSA key itself"
            )
        return await self._ensured(issuer, KeyAlgorithm.RSA3072)

    async def _ensured(self, issuer: Authority, algorithm: KeyAlgorithm) -> IdentityRecord:
        now = self._clock.now()
        second = algorithm is KeyAlgorithm.RSA3072
        present = await IdentityReader(self._database).current(now, rsa=second)
        wanted = (self._name, issuer.slug)
        if present is not None and (present.name, present.authority) == wanted and now < renewal_of(present):
            return present
        key = await self._keys.generate_key(KeyPurpose.RADIUS, algorithm)
        made: list[IdentityRecord] = []

        def with_store(issued: IssuedCertificate) -> Unit:
            record = IdentityRecord(
                issued.id,
                self._name,
                issuer.slug,
                key.key_id,
                pem_chain([issued.der, *issued.chain]).decode(),
                issued.not_before,
                issued.not_after,
            )
            made.append(record)
            return (
                Unit()
                .write(
                    ADD,
                    record.certificate_id,
                    record.name,
                    record.authority,
                    record.key_id,
                    record.chain,
                    record.not_before,
                    record.not_after,
                )
                .record(
                    Event(
                        "radius.identity_renewed",
                        _ACTOR,
                        (f"authority:{issuer.slug}", f"certificate:{issued.id}"),
                        {
                            "name": self._name,
                            "key_id": key.key_id,
                            "key": algorithm.value,
                            "not_after": ledger_time(issued.not_after),
                        },
                    )
                )
            )

        await self._gate.issue(
            IssuanceRequest(
                request_id=f"radius-server:{key.key_id}",
                authority=issuer.slug,
                profile=PROFILE,
                spki=key.public_key,
                names=(("dns", self._name),),
                actor=_ACTOR,
                subjects=(Binding(await self._subject()),),
            ),
            with_store=with_store,
        )
        log.info(
            "radius.identity_renewed", name=self._name, key=algorithm.value, not_after=ledger_time(made[-1].not_after)
        )
        return made[-1]
