"""Refusals as RFC 8555 (section 6.7) and RFC 7807 word them.

:data:`ACME_TYPES` is the one table from reason codes to error types. Whatever fails, in this room or below, becomes
an :class:`AcmeProblem` by :func:`as_problem`; its :meth:`~AcmeProblem.document` goes into a response
(:func:`render`), into ``order.error`` and into ``challenge.error`` alike. Only the reason's summary and the detail
that was written for the caller ever leave; anything unexpected is ``serverInternal`` and a correlation id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from troth.enroll.acme import errors
from troth.kit.canonical import Json
from troth.kit.errors import INTERNAL, Reason, TrothError
from troth.kit.lane import Response

URN = "urn:ietf:params:acme:error:"

#: Reason code → (RFC 8555 type, HTTP status or None for the reason's own). A code that is not listed is looked up
#: by its dotted prefixes, the longest first, so that a room below needs one line and not one per reason.
ACME_TYPES: dict[str, tuple[str, int | None]] = {
    "acme.request": ("malformed", None),
    "acme.jws.malformed": ("malformed", None),
    "acme.jws.algorithm": ("badSignatureAlgorithm", None),
    "acme.jws.key": ("badPublicKey", None),
    # RFC 8555 names no type for a signature that does not verify; Boulder, Pebble and step-ca all say malformed.
    "acme.jws.signature": ("malformed", None),
    "acme.jws.url": ("unauthorized", None),
    "acme.jws.nonce": ("badNonce", None),
    "acme.account.unknown": ("accountDoesNotExist", None),
    "acme.account.inactive": ("unauthorized", None),
    "acme.account.foreign": ("unauthorized", None),
    "acme.account.not_found": ("accountDoesNotExist", None),
    "acme.account.closed": ("unauthorized", None),
    # RFC 8555, 7.3.5 gives the status (409) but no type.
    "acme.account.key_in_use": ("malformed", None),
    "acme.account.contact_invalid": ("invalidContact", None),
    "acme.account.contact_unsupported": ("unsupportedContact", None),
    "acme.account.binding_required": ("externalAccountRequired", None),
    "acme.account.binding_refused": ("unauthorized", None),
    "acme.account.terms_required": ("userActionRequired", None),
    "acme.identifier.unsupported": ("unsupportedIdentifier", None),
    "acme.identifier.malformed": ("malformed", None),
    "acme.identifier.rejected": ("rejectedIdentifier", None),
    "acme.identifier.compound": ("compound", None),
    "acme.order.not_ready": ("orderNotReady", None),
    "acme.order.refused": ("unauthorized", None),
    "acme.order.already_replaced": ("alreadyReplaced", None),
    "acme.order.replaces": ("malformed", None),
    "acme.renewal": ("malformed", None),
    "acme.incident": ("serverInternal", None),
    "acme.csr.refused": ("badCSR", None),
    "acme.profile.unknown": ("invalidProfile", None),
    "acme.profile.forbidden": ("unauthorized", None),
    "acme.revocation.already_revoked": ("alreadyRevoked", None),
    "acme.revocation.reason": ("badRevocationReason", None),
    "acme.validation.connection": ("connection", None),
    "acme.validation.dns": ("dns", None),
    "acme.validation.tls": ("tls", None),
    "acme.validation.incorrect": ("incorrectResponse", None),
    "acme.validation.quorum": ("connection", None),
    "acme.validation.vantage": ("connection", None),
    "vantage": ("serverInternal", None),
    "acme.validation.caa": ("caa", 403),
    "acme.validation.target": ("connection", None),
    "attest": ("badAttestationStatement", 400),
    "attest.revocation_unknown": ("serverInternal", 503),
    # Said at newOrder, before there is any statement.
    "attest.device_unknown": ("rejectedIdentifier", 403),
    "attest.device_ambiguous": ("rejectedIdentifier", 403),
    "enroll.undecided": ("serverInternal", 503),
    "acme.rate_limited": ("rateLimited", None),
    "acme.failing": ("rateLimited", None),
    "acme.paused": ("rateLimited", None),
    "acme.unpause": ("malformed", None),
    "enroll.enrolment": ("unauthorized", 403),
    "acme.test_mode": ("serverInternal", None),
    "acme.nonce": ("serverInternal", None),
    # What failed below while a request of the client's was in order: nothing for it to mend, but to try again.
    "trust.standing.changed": ("serverInternal", 503),
    "trust.subject.raced": ("serverInternal", 503),
    "pki.gate": ("serverInternal", 503),
    "pki.authority": ("serverInternal", 503),
    "signer": ("serverInternal", 503),
    "store": ("serverInternal", 503),
    "internal": ("serverInternal", 500),
}


class Identifier(msgspec.Struct, frozen=True):
    """An ACME identifier (RFC 8555, 9.7.7): ``type`` is ``dns`` or ``ip``, ``value`` its canonical text."""

    type: str
    value: str


class AcmeProblem(TrothError):
    """A refusal on its way to an ACME client.

    Args:
        reason: a registered reason; the table gives type and status.
        detail: what happened this time, for the client; the reason's summary when empty.
        identifier: set on subproblems only (RFC 8555, 6.7.1).
        subproblems: one per identifier when several failed.
        headers: further response headers as (lower-case name, value) byte pairs, such as Location on a 409.
        members: further members of the document, such as ``algorithms`` of badSignatureAlgorithm.
        status: in place of the table's.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        identifier: Identifier | None = None,
        subproblems: Sequence[AcmeProblem] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        members: Mapping[str, Json] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason, detail)
        short, usual = _acme_type(reason)
        self.type = URN + short
        self.status = status or usual
        self.identifier = identifier
        self.subproblems = tuple(subproblems)
        self.headers = tuple(headers)
        self.members: Mapping[str, Json] = members or {}

    def document(self) -> dict[str, Json]:
        """The problem document. ``reason`` is Troth's stable code, the same that the log and the docs use."""
        found: dict[str, Json] = {"type": self.type, "detail": self.detail, "status": self.status}
        if self.identifier is not None:
            found["identifier"] = {"type": self.identifier.type, "value": self.identifier.value}
        if self.subproblems:
            found["subproblems"] = [inner.document() for inner in self.subproblems]
        found.update(self.members)
        found["reason"] = self.reason.code
        return found


def as_problem(error: Exception) -> AcmeProblem:
    """``error`` as a problem: itself, a translated TrothError, or a serverInternal that tells nothing.

    The caller logs what became serverInternal; nothing of an unexpected exception's text is passed on.
    """
    if isinstance(error, AcmeProblem):
        return error
    status = 500
    if isinstance(error, TrothError):
        short, status = _acme_type(error.reason)
        if short != "serverInternal":
            return AcmeProblem(error.reason, error.detail)
    return AcmeProblem(INTERNAL, "something failed inside Troth; the request may be tried again later", status=status)


def compound(subproblems: Sequence[AcmeProblem]) -> AcmeProblem:
    """One problem for several failed identifiers: the single one raised plainly, more than one as ``compound``.

    The status is the subproblems' common one, else 400.
    """
    if len(subproblems) == 1:
        only = subproblems[0]
        return AcmeProblem(only.reason, only.detail, subproblems=subproblems, status=only.status)
    statuses = {inner.status for inner in subproblems}
    status = statuses.pop() if len(statuses) == 1 else 400
    return AcmeProblem(errors.COMPOUND, subproblems=subproblems, status=status)


def render(problem: AcmeProblem, *headers: tuple[bytes, bytes]) -> Response:
    """The HTTP answer: compact single-line JSON, since acme.sh reads it with regular expressions.

    ``headers`` are those every ACME answer carries (Replay-Nonce, Link rel=index).
    """
    return Response(
        problem.status,
        msgspec.json.encode(problem.document()),
        ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"), *problem.headers, *headers),
    )


def _acme_type(reason: Reason) -> tuple[str, int]:
    code = reason.code
    while code:
        found = ACME_TYPES.get(code)
        if found is not None:
            return found[0], found[1] or reason.status
        code = code.rpartition(".")[0]
    # A room below refused for a reason that no line above words: a client error stays one, the rest is ours.
    if reason.status in (401, 403):
        return "unauthorized", 403
    if 400 <= reason.status < 500:
        return "malformed", reason.status
    return "serverInternal", reason.status
