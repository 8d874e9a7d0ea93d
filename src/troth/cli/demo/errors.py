"""Why the demonstration stops."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NOT_AS_TOLD = reason(
    "cli.demo.not_as_told",
    "the demonstration did not see what it should have seen",
    fix="Look at the page named last and at Troth's log; `troth demo` may be run again at any time.",
    status=500,
)
SIGNAL_REFUSED = reason(
    "cli.demo.signal_refused",
    "Troth refused a signal of the demonstration's feed",
    fix="The detail is Troth's own answer. Was the feed changed by hand? `troth apply` shows how it stands.",
    status=502,
)


class DemoError(TrothError):
    """The story cannot go on."""
