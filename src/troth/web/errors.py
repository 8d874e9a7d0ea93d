"""What can be wrong with a request to the admin application itself."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NOT_FOUND = reason(
    "web.not_found", "there is no such thing here", fix="Search for it by serial number, name or subject.", status=404
)
METHOD = reason("web.method_not_allowed", "this method is not allowed here", fix="See /api/openapi.json.", status=405)
MALFORMED = reason(
    "web.malformed", "the request does not have the form this needs", fix="See /api/openapi.json for it.", status=400
)
TOO_LARGE = reason("web.too_large", "the request is larger than this accepts", fix="Send less at a time.", status=413)
CROSS_ORIGIN = reason(
    "web.cross_origin",
    "this change was asked for by another site's page",
    fix="Use the dashboard's own pages, under its own address; programs send an API token.",
    status=403,
)
WRONG_HOST = reason(
    "web.wrong_host",
    "the dashboard is not served under this host name",
    fix="Open it under the address that `troth up` prints, or name this host in listen.admin.",
    status=421,
)
OTHERS_NAME = reason(
    "web.name_of_another",
    "a name in the request belongs to another subject",
    fix="Issue for the subject that holds the name, or give the name to this one in the directory.",
    status=409,
)
ONE_AT_A_TIME = reason(
    "web.one_document_at_a_time",
    "documents that take approval are applied one at a time",
    fix="Apply each document by itself; each becomes a proposal of its own.",
    status=409,
)


NOT_PINNED_YET = reason(
    "web.approver_not_pinned",
    "the signer has not pinned this passkey",
    fix="Run `troth approver confirm` on the signer's machine as the owner of its data directory.",
    status=409,
)
STILL_SEALED = reason(
    "web.custodian_sealed",
    "the signer does not say that this custodian was unsealed",
    fix="Run `troth unseal` on the signer's machine; see docs/keys.md.",
    status=409,
)


class WebError(TrothError):
    """A refusal of the application, before any room is asked."""


class NotFound(WebError):
    """Nothing of this identifier."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(NOT_FOUND, detail)
