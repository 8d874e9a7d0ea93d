"""Those whose passkeys are pinned in the signer, over the API. Every change takes the approval of those who are."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from troth.access.approvals.errors import KIND_UNKNOWN, ApprovalRefused
from troth.access.roles import Permission
from troth.pki.signer import acts
from troth.web.approval_views import ApproversView, ProposalView
from troth.web.asking import ask
from troth.web.errors import NOT_PINNED_YET, WebError
from troth.web.guard import asker, needs
from troth.web.render import Req, services_of
from troth.web.words import proposal_view

_TAGS = ["Approvals"]


class AddApprover(Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser made under the signer's challenge."""

    credential: dict[str, Any]
    label: Annotated[str, Meta(max_length=64)] = ""


class SetNumber(Struct, frozen=True, forbid_unknown_fields=True):
    """How many pinned persons must approve."""

    needed: Annotated[int, Meta(ge=1, le=64)]


class Confirmed(Struct, frozen=True, forbid_unknown_fields=True):
    """The proposal whose passkey was pinned on the signer's machine."""

    proposal: UUID


@get("/approvers", opt=needs(Permission.APPROVAL_READ), operation_id="listApprovers", tags=_TAGS)
async def list_approvers(request: Req) -> ApproversView:
    """Whose passkeys are pinned in the signer, and how many of them must approve; asked of the signer now."""
    return await services_of(request).approvers.list()


@post("/approvers/question", opt=needs(Permission.APPROVAL_DECIDE), operation_id="askForApprover", tags=_TAGS,
      status_code=200)  # fmt: skip
async def question(request: Req) -> dict[str, Any]:
    """Options for ``navigator.credentials.create`` under the signer's challenge, for whoever asks."""
    return await services_of(request).approvers.options(asker(request))


@post("/approvers", opt=needs(Permission.APPROVAL_DECIDE), operation_id="addApprover", tags=_TAGS, status_code=202)
async def add(request: Req, data: JSONBody[AddApprover]) -> None:
    """Propose that one's new passkey be pinned. The first two persons' are confirmed on the signer's machine."""
    payload = await services_of(request).approvers.payload(asker(request), data.label, data.credential)
    await ask(request, acts.ADD, payload)


@post("/approvers/{credential_id:str}/remove", opt=needs(Permission.ACCESS_MANAGE), operation_id="removeApprover",
      tags=_TAGS, status_code=202)  # fmt: skip
async def remove(request: Req, credential_id: FromPath[str]) -> None:
    """Propose that a passkey be unpinned."""
    await ask(request, acts.REMOVE, {"credential_id": credential_id[:2048].lower()})


@post("/approvers/number", opt=needs(Permission.ACCESS_MANAGE), operation_id="setApproverNumber", tags=_TAGS,
      status_code=202)  # fmt: skip
async def number(request: Req, data: JSONBody[SetNumber]) -> None:
    """Propose how many pinned persons must approve."""
    await ask(request, acts.NUMBER, {"needed": data.needed})


@post("/approvers/confirmed", opt=needs(Permission.ACCESS_MANAGE), operation_id="confirmApprover", tags=_TAGS,
      status_code=200)  # fmt: skip
async def confirmed(request: Req, data: JSONBody[Confirmed]) -> ProposalView:
    """Close the proposal of a passkey that was pinned on the signer's machine. The signer is asked whether it was."""
    services = services_of(request)
    proposal = await services.approvals.proposals.get(data.proposal)
    if proposal.act.kind != acts.ADD:
        raise ApprovalRefused(KIND_UNKNOWN, "this proposal pins no passkey")
    if not await services.approvers.pinned(str(msgspec.json.decode(proposal.act.payload)["credential_id"])):
        raise WebError(NOT_PINNED_YET)
    return proposal_view(await services.approvals.proposals.confirmed(proposal, asker(request)), secret=False)


HANDLERS = (list_approvers, question, add, remove, number, confirmed)
