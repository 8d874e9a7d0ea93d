"""A node asks for a token of a workload: judged by the one engine, each time, and signed as a JWT-SVID.

As with certificates (``desk``) the node names a workload of the directory; here also for whom the token is (audience,
which is mandatory). Decision and event are committed before anything is signed: a token that nobody wrote down does not
exist. There is no taking back of a token; it lives for minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from troth.audit.event import Event
from troth.enroll.issuance import Ask, Issuance
from troth.enroll.workload.desk import PROFILE, evidence_of, printable, read_request
from troth.enroll.workload.errors import JWT_AUDIENCE, JWT_KEYS, REQUEST_MALFORMED, WORKLOAD_UNKNOWN, WorkloadRefused
from troth.enroll.workload.jwt_keys import JwtKeys
from troth.enroll.workload.node import Node
from troth.kit.clock import Clock
from troth.kit.ids import new_id
from troth.pki import jwt_svid
from troth.pki.ports import Interlock, JwtSigner
from troth.pki.rendering import Rendered
from troth.pki.spiffe import is_spiffe_id
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.decision.decide import Verdict
from troth.trust.model import Kind
from troth.trust.subjects.store import SubjectStore

_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_SHORTEST = 30


class JwtRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed for ``/workload/jwt``.

    Attributes:
        workload: its name in the directory.
        audience: for whom the token is.
        selectors: what the agent saw of the process.
        lifetime_seconds: no longer than this.
    """

    workload: _Short
    audience: Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=16)]
    selectors: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=64)] = ()
    lifetime_seconds: Annotated[int, msgspec.Meta(ge=_SHORTEST, le=3600)] | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What the agent is given. ``keys``: those that tokens verify under, as JWKs."""

    spiffe_id: str
    token: str
    expires_at: datetime
    keys: list[Mapping[str, str]]


class JwtDesk:
    """See the module.

    Args:
        longest: no token from this door is longer.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        issuance: Issuance,
        signer: JwtSigner,
        keys: JwtKeys,
        interlock: Interlock,
        *,
        longest: timedelta,
    ) -> None:
        self._clock = clock
        self._issuance = issuance
        self._signer = signer
        self._interlock = interlock
        self._subjects = SubjectStore(database)
        self._longest = min(longest, jwt_svid.LONGEST)
        self.keys = keys

    async def issue(self, node: Node, *, address: str | None) -> Token:
        """A token for the workload that ``node`` names.

        Raises WorkloadRefused, IssuanceRefused, or what profile, interlock and signer raise.
        """
        asked = read_request(node.payload, JwtRequest)
        if not printable(asked.workload, *asked.selectors):
            raise WorkloadRefused(REQUEST_MALFORMED, "names and selectors are printable ASCII")
        if not jwt_svid.sound_audience(asked.audience):
            raise WorkloadRefused(JWT_AUDIENCE)
        workload = await self._subjects.find(Kind.WORKLOAD, asked.workload)
        if workload is None:
            raise WorkloadRefused(WORKLOAD_UNKNOWN, f"{asked.workload!r}")
        await self._interlock.ensure()
        key = await self.keys.active()
        if key is None:
            raise WorkloadRefused(JWT_KEYS)
        wanted = timedelta(seconds=asked.lifetime_seconds) if asked.lifetime_seconds else self._longest
        made: list[jwt_svid.Claims] = []

        def unit(verdict: Verdict, rendered: Rendered) -> Unit:
            claims = self._claims(rendered, verdict, asked.audience, wanted)
            made[:] = [claims]
            refs = (node.subject.ref, f"certificate:{node.certificate.id}", workload.ref)
            event = Event(
                "workload.jwt_issued",
                f"node:{node.subject.id}",
                refs,
                {
                    "spiffe_id": claims.spiffe_id,
                    "audience": list(claims.audience),
                    "token": claims.token_id,
                    "expires": claims.expires,
                    "key_id": key.key_id,
                },
            )
            return Unit().record(event)

        await self._issuance.judged(
            Ask(
                request_id=f"workload:{new_id()}",
                profile=PROFILE,
                spki=b"",
                names=(),
                actor=f"node:{node.subject.id}",
                evidence=evidence_of(node, asked.selectors),
                request={"protocol": "workload", "address": address or ""},
                origin="workload",
                refs=(node.subject.ref, f"certificate:{node.certificate.id}"),
                subject=workload,
                carrier=node.subject,
            ),
            with_unit=unit,
        )
        (claims,) = made
        octets = claims.encode()
        token = jwt_svid.compact(key.key_id, octets, await self._signer.sign_jwt(key.key_id, octets))
        return Token(
            claims.spiffe_id, token, datetime.fromtimestamp(claims.expires, UTC), await self.keys.published() or []
        )

    def _claims(self, rendered: Rendered, verdict: Verdict, audience: list[str], wanted: timedelta) -> jwt_svid.Claims:
        uris = [value for kind, value in rendered.names if kind == "uri" and is_spiffe_id(value)]
        if len(uris) != 1:
            raise WorkloadRefused(WORKLOAD_UNKNOWN, "the profile makes no SPIFFE ID of it")
        limits = [self._longest, wanted]
        if verdict.obligations.lifetime is not None:
            limits.append(verdict.obligations.lifetime)
        issued = int(self._clock.now().timestamp())
        return jwt_svid.Claims(
            uris[0], tuple(audience), issued, issued + int(min(limits).total_seconds()), new_id().hex
        )
