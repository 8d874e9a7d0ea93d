"""What is done for each request about approvers and approvals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from troth.access.approvals.model import Act
from troth.kit.canonical import Json
from troth.pki.signer import acts, protocol
from troth.pki.signer import approvers_protocol as judging
from troth.pki.signer.approvers import Judge

JudgeRequest: TypeAlias = (
    judging.ListApprovers
    | judging.AskRegistration
    | judging.PinApprover
    | judging.AskApproval
    | judging.RegisterApprover
    | judging.RemoveApprover
    | judging.SetApprovals
)


def answer(judge: Judge, request: JudgeRequest, state_of: Callable[[Act], Json]) -> protocol.Answer:
    """The answer to ``request``. Raises SignerRefused; then nothing has changed."""
    match request:
        case judging.ListApprovers(n=n):
            return judge.listed(n)
        case judging.AskRegistration(n=n, person=person):
            return judging.Challenge(n, judge.registration_challenge(person))
        case judging.AskApproval(n=n, act=data):
            act = acts.decode(data)
            return judge.ask(n, act, state_of(act))
        case judging.PinApprover():
            judge.pin(request.person, request.label, request.response, request.rp_id, request.origins)
        case judging.RegisterApprover():
            judge.register(request.person, request.label, request.response, request.proofs)
        case judging.RemoveApprover():
            judge.remove(request.credential_id, request.proofs)
        case judging.SetApprovals():
            judge.set_needed(request.needed, request.proofs)
    return protocol.Done(request.n)
