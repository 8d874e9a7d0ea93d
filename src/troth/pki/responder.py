"""Delegated OCSP responders: a short-lived certificate per authority that renews itself (RFC 6960, 4.2.2.2).

The key is made in the signer, which later hands it, sealed, to the status worker alone; the certificate comes
through the gate like any other. It carries id-pkix-ocsp-nocheck and lives a week at most, since nobody can ask a
responder whether it is itself revoked. ``ensure`` renews at half of its life, so three days of failures go unnoticed
by clients.
"""

from __future__ import annotations

import asyncio

from troth.audit.event import Event
from troth.kit.clock import Clock, ledger_time
from troth.kit.log import get_logger
from troth.pki.algorithms import MldsaPublicKey
from troth.pki.catalogue import Catalogue
from troth.pki.crl_store import ADD_RESPONDER, CrlStore
from troth.pki.gate import Gate
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.model import KeyPurpose
from troth.pki.model import IssuanceRequest, IssuedCertificate, Responder
from troth.pki.ports import ResponderKeys
from troth.store.pool import Database
from troth.store.unit import Unit

log = get_logger("pki")

PROFILE = "ocsp-responder"


class Responders:
    """Keeps every authority's responder fresh: a duty of the worker, under its lease."""

    def __init__(self, database: Database, gate: Gate, keys: ResponderKeys, catalogue: Catalogue, clock: Clock) -> None:
        self._database = database
        self._gate = gate
        self._keys = keys
        self._catalogue = catalogue
        self._clock = clock

    async def current(self, authority: str) -> Responder | None:
        """The responder that signs now, or None before the first."""
        return await CrlStore(self._database).responder(authority)

    def due(self, responder: Responder | None) -> bool:
        """Whether there is none that is not revoked, or half of its life has passed."""
        if responder is None:
            return True
        return self._clock.now() >= responder.not_before + (responder.not_after - responder.not_before) / 2

    async def ensure_all(self) -> None:
        """As :meth:`ensure` for every authority that issues, or has issued what has not expired yet.

        One that fails does not keep the others waiting.
        """
        store = CrlStore(self._database)
        present = await store.responders()
        due = []
        for one in self._catalogue.authorities.values():
            if one.kind != "issuing" or one.key_id is None or not self.due(present.get(one.slug)):
                continue
            now = self._clock.now()
            past = one.state in ("retiring", "retired") and one.not_after > now
            if one.state == "active" or (past and await store.has_live(one.slug, now, PROFILE)):
                due.append(one.slug)
        for result in await asyncio.gather(*(self.ensure(slug) for slug in due), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def ensure(self, authority: str) -> Responder:
        """The authority's responder, renewed if that is due. Raises what the gate or the signer raises."""
        present = await self.current(authority)
        if present is not None and not self.due(present):
            return present
        issuer = self._catalogue.authority(authority)
        # What an ML-DSA authority has issued is not vouched for by a signature that a quantum computer can make.
        kind = KeyAlgorithm.MLDSA44 if isinstance(issuer.public_key, MldsaPublicKey) else KeyAlgorithm.P256
        key = await self._keys.generate_key(KeyPurpose.OCSP, kind)
        name = issuer.name
        made: list[Responder] = []

        def with_store(issued: IssuedCertificate) -> Unit:
            responder = Responder(issued.id, authority, key.key_id, issued.der, issued.not_before, issued.not_after)
            made.append(responder)
            unit = Unit().write(
                ADD_RESPONDER,
                responder.certificate_id,
                authority,
                responder.key_id,
                responder.certificate,
                responder.not_before,
                responder.not_after,
            )
            return unit.record(
                Event(
                    "ocsp.responder_renewed",
                    "system:responder",
                    (f"authority:{authority}", f"certificate:{issued.id}"),
                    {"authority": authority, "key_id": key.key_id, "not_after": ledger_time(issued.not_after)},
                )
            )

        await self._gate.issue(
            IssuanceRequest(
                request_id=f"ocsp-responder:{authority}:{key.key_id}",
                authority=authority,
                profile=PROFILE,
                spki=key.public_key,
                names=(),
                common_name=f"OCSP {name}"[:64],
                actor="system:responder",
            ),
            with_store=with_store,
        )
        log.info("ocsp.responder_renewed", authority=authority, not_after=ledger_time(made[-1].not_after))
        return made[-1]
