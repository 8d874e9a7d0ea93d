"""What can be wrong with an access server and its secrets."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NAS_UNKNOWN = reason(
    "nas.unknown",
    "there is no such access server",
    fix="List them with `troth nas list`; define one under `nas:` and apply it.",
    status=404,
)
NAS_INVALID = reason(
    "nas.invalid",
    "the definition of this access server does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
NAS_SECRET = reason(
    "nas.secret",
    "this is no secret for an access server",
    fix="Let Troth make one: `troth nas secret NAME`. One of your own has 16 to 128 printable characters.",
    status=422,
)
NAS_SECRET_MISSING = reason(
    "nas.secret_missing",
    "the access server has no secret yet",
    fix="Give it its first one: `troth nas secret NAME`.",
    status=409,
)
NAS_ROTATING = reason(
    "nas.rotating",
    "its secret is being replaced already",
    fix="End that first: `troth nas rotate NAME --finish`, or `--abandon`.",
    status=409,
)
NAS_NOT_ROTATING = reason(
    "nas.not_rotating",
    "its secret is not being replaced",
    fix="Begin with `troth nas rotate NAME`.",
    status=409,
)
NAS_ROTATION_OPEN = reason(
    "nas.rotation_open",
    "some of its addresses still ask with the former secret",
    fix="Give them the new one; see `troth nas show NAME`. What is switched off for good: finish with `--force`.",
    status=409,
)
NAS_SECRET_PROPOSED = reason(
    "nas.secret_proposed",
    "a secret of an access server takes approval here, so none can be brought",
    fix="Let Troth make one: leave out the file. Whoever has it done is shown it, once.",
    status=409,
)


class NasError(TrothError):
    """Something is wrong with an access server."""


class NasUnknown(NasError):
    """There is none of that name."""


class NasInvalid(NasError):
    """Its definition does not hold together; the detail names the field."""
