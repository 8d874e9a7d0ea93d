"""What a rollover can refuse."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

UNKNOWN = reason(
    "rollover.unknown", "there is no such rollover", fix="List them with `troth rollover list`.", status=404
)
MISFIT = reason(
    "rollover.misfit",
    "these two authorities cannot follow one another",
    fix="The old one is active, the new one planned or active, with a key here, and serves at least the same classes.",
    status=409,
)
UNDER_WAY = reason(
    "rollover.under_way",
    "one of the authorities takes part in a rollover already",
    fix="Bring that one to its end, or back out of it.",
    status=409,
)
GATE = reason(
    "rollover.gate",
    "the conditions of the next stage are not met",
    fix="See `troth rollover status` for what is needed and seen; who knows better gives --override with a reason.",
    status=409,
)
SETTLED = reason(
    "rollover.settled",
    "the rollover has ended",
    fix="Nothing leaves these stages; start another rollover.",
    status=409,
)
MOVED = reason(
    "rollover.moved", "somebody else has moved the rollover on", fix="Look at where it stands, and decide anew.",
    status=409,
)  # fmt: skip
INVALID = reason(
    "rollover.invalid",
    "a value of the request is out of its range",
    fix="Threshold and attestation are per cent, days 1 to 3650, and a reason has at least ten characters.",
    status=422,
)


class RolloverRefused(TrothError):
    """Nothing was changed."""
