"""Why the status room cannot answer."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

LAPSED = reason(
    "status.lease.lapsed",
    "this status worker has not heard from the trust stream for too long to vouch for any status",
    fix="Check the database and the worker that runs the sequencer; answers resume by themselves.",
    status=503,
)
RESPONDER_MISSING = reason(
    "status.responder.missing",
    "there is no OCSP responder certificate in force for the authority",
    fix="Check that the worker runs and reaches the signer: it renews responder certificates.",
    status=503,
)
BUSY = reason(
    "status.lookup.busy",
    "more serial numbers wait to be looked up than the database answers",
    fix="Look at the load on the database; the client may try again at once.",
    status=503,
)


UNSURE = reason(
    "status.fenced",
    "after a restore that may have lost revocations, no status but revoked is told until a person decides",
    fix="See `troth restore status` and docs/recovery.md, then `troth restore decide`.",
    status=503,
)


class StatusUnavailable(TrothError):
    """The status cannot be told now; OCSP answers ``tryLater``."""
