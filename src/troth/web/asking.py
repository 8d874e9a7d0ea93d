"""A dangerous act, on its way to be done or to be proposed.

A handler asks for the act as if it were done. If the rule asks for approvals it is proposed instead, and
:class:`Proposed` carries the proposal out of the handler: a program is answered 202 with its address, a person is led
to its page.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from troth.access.approvals.model import Proposal
from troth.access.errors import Forbidden
from troth.access.roles import Permission
from troth.kit.canonical import Json
from troth.web import network
from troth.web.books.trusting import documents_in
from troth.web.errors import ONE_AT_A_TIME, WebError
from troth.web.guard import asker
from troth.web.render import Req, services_of
from troth.web.views import Applied, Change

#: What a document of this kind is as an act.
_ACTS = {
    "policy": "policy.apply",
    "profile": "profile.apply",
    "feeds": "feed.grant",
    "connectors": "connector.apply",
    "streams": "ssf.apply",
    "receivers": "ssf.grant",
    "directory": "directory.apply",
    "reactions": "reactions.apply",
    "standing": "standing.apply",
    **network.ACTS,
}


class Waiting(msgspec.Struct, frozen=True):
    """The answer 202: nothing was done yet. ``url``: the proposal in the API; ``page``: where it is approved."""

    proposal: UUID
    url: str
    page: str
    kind: str
    words: str
    needed: int
    act_hash: str
    expires_at: datetime


class Proposed(Exception):
    """The act was proposed rather than done."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(str(proposal.id))
        self.waiting = Waiting(
            proposal.id, f"/api/v1/approvals/{proposal.id}", f"/approvals/{proposal.id}", proposal.act.kind,
            proposal.words, proposal.needed, proposal.act_hash.hex(), proposal.expires_at,
        )  # fmt: skip


async def ask(request: Req, kind: str, payload: Mapping[str, Json], *, comment: str = "") -> dict[str, Json]:
    """Do the act and return its outcome. Raises Proposed where it waits for approval; ``?propose=true`` asks for that.

    Raises whatever is wrong with the act.
    """
    propose = request.query_params.get("propose", "") == "true"
    made = await services_of(request).approvals.submit(kind, payload, asker(request), comment=comment, propose=propose)
    if made.proposal is not None:
        raise Proposed(made.proposal)
    return dict(made.outcome) if isinstance(made.outcome, Mapping) else {}


async def apply(request: Req, text: str, *, prune: bool, accept_loss: bool = False) -> Applied:
    """Apply documents. Where one of them takes approval it must come alone: one document is one act.

    ``?force=REASON`` and ``?accept_loss=true`` of the request: see :class:`troth.web.configuring.Configuration`.
    """
    services, by = services_of(request), asker(request)
    parts = documents_in(text)
    forced = request.query_params.get("force", "")[:500]
    accept_loss = accept_loss or request.query_params.get("accept_loss", "") == "true"
    acts: list[tuple[str, dict[str, Json]]] = [
        (_ACTS[kind], {"document": part} | ({"prune": prune} if kind == "directory" else {})) for kind, part in parts
    ]
    if len(acts) == 1 and acts[0][0] == "policy.apply":
        if not by.may(Permission.POLICY_WRITE):
            raise Forbidden(Permission.POLICY_WRITE.value)
        # Weighed before it is asked for, so that those who approve it see whom it would change.
        report = await services.policies.weighed(parts[0][1], accept_loss=accept_loss)
        acts[0][1]["impact"] = list(report.sentences) if report is not None else []
        if forced:
            acts[0][1]["forced"] = forced
    if len(acts) == 1:
        outcome = await ask(request, *acts[0])
        return Applied(msgspec.convert(outcome["changes"], tuple[Change, ...]))
    if (await services.approvals.rule()).entries or request.query_params.get("propose", "") == "true":
        for kind, payload in acts:
            _, demand = await services.approvals.preview(kind, payload, by)
            if demand.approvals or request.query_params.get("propose", "") == "true":
                raise WebError(ONE_AT_A_TIME, f"{kind} takes approval, so it cannot be applied together with others")
    return await services.configuration.apply(
        text, by, dry_run=False, prune=prune, forced=forced or None, accept_loss=accept_loss
    )
