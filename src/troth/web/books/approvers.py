"""Those whose passkeys are pinned in the signer, as the signer tells it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from troth.access import passkeys
from troth.access.approvals.errors import NOT_A_PERSON, ApprovalRefused
from troth.access.approvals.store import ApprovalStore
from troth.access.model import Principal
from troth.kit.canonical import Json
from troth.pki.signer import acts
from troth.pki.signer.errors import UNAVAILABLE, SignerUnavailable
from troth.store.pool import Database
from troth.web.acts.judged import answered
from troth.web.approval_views import ApproversView, ApproverView
from troth.web.judging import JudgeSigner


class ApproverDesk:
    """See :class:`troth.web.services.ApproverBook`."""

    def __init__(self, database: Database, party: passkeys.RelyingParty, signer: JudgeSigner | None) -> None:
        self._store = ApprovalStore(database)
        self._party = party
        self._given = signer

    async def list(self) -> ApproversView:
        found = await self._signer.approvers()
        return ApproversView(
            needed=found.needed,
            persons=tuple(sorted({one.person for one in found.approvers})),
            rp_id=found.rp_id or self._party.id,
            origins=found.origins or self._party.origins,
            approvers=tuple(
                ApproverView(one.person, one.label, one.credential_id.hex(), acts.fingerprint(one.public_key),
                             one.added_at)
                for one in found.approvers
            ),
        )  # fmt: skip

    async def options(self, by: Principal) -> dict[str, Any]:
        person = await self._person(by)
        known = [one.credential_id for one in (await self._signer.approvers()).approvers if one.person == person]
        challenge = await self._signer.ask_registration(person)
        # A user handle of its own: an authenticator would put the passkey in the place of the one for log-ins.
        handle = hashlib.sha256(b"troth approver\x00" + person.encode()).digest()
        return passkeys.registration_options(
            self._party, account=handle, name=f"{person} (approver)", challenge=challenge, known=known
        )

    async def payload(self, by: Principal, label: str, credential: Mapping[str, Any]) -> dict[str, Json]:
        response = msgspec.json.encode(credential)
        act, _ = answered(self._party, await self._person(by), label, response)
        told: dict[str, Json] = msgspec.json.decode(act.payload)
        return told

    async def pinned(self, credential_id: str) -> bool:
        return credential_id in {one.credential_id.hex() for one in (await self._signer.approvers()).approvers}

    async def _person(self, by: Principal) -> str:
        person = None if by.id is None or by.via != "session" else await self._store.person(by.id)
        if person is None:
            raise ApprovalRefused(NOT_A_PERSON, "a passkey is made by a person who is logged in with a browser")
        return person

    @property
    def _signer(self) -> JudgeSigner:
        if self._given is None:
            raise SignerUnavailable(UNAVAILABLE, "this process has no signer to ask")
        return self._given
