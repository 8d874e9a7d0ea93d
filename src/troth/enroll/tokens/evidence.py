"""What policy is told of an account that was opened with an exchanged token."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from uuid import UUID

from troth.enroll.tokens.store import TokenStore
from troth.store.unit import Reader
from troth.trust.decision.question import Given

_KEPT = 4096


class TokenEvidence:
    """``evidence.token_…`` by enrolment. It never changes, so it is looked up once."""

    def __init__(self, reader: Reader) -> None:
        self._store = TokenStore(reader)
        self._known: OrderedDict[UUID, Mapping[str, Given]] = OrderedDict()

    async def of(self, enrolment: UUID | None) -> Mapping[str, Given]:
        """The evidence; nothing for an account that was opened otherwise."""
        if enrolment is None:
            return {}
        known = self._known.get(enrolment)
        if known is not None:
            self._known.move_to_end(enrolment)
            return known
        found = await self._store.evidence(enrolment)
        said: dict[str, Given] = {}
        if found is not None:
            issuer, subject, claims = found
            said = {"token_issuer": issuer, "token_subject": subject, "token_claims": list(claims)}
        self._known[enrolment] = said
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return said
