"""Why a command fails at the caller's own end."""

from __future__ import annotations

from typing import Any

from troth.kit.errors import reason

UNREACHABLE = reason(
    "cli.unreachable",
    "no Troth answers on this data directory",
    fix="Start it with `troth up`, or name its data directory with --data (as its owner or as root).",
    status=503,
)
GARBLED = reason(
    "cli.garbled",
    "Troth answered something that is no answer",
    fix="Look into its log. Use the `troth` command of the same version as the server.",
    status=502,
)
NO_ACCOUNT = reason("cli.no_account", "there is no account of this name", fix="See `troth admin list`.", status=404)
FILE_EXISTS = reason(
    "cli.file_exists",
    "a file that would be written exists already",
    fix="Choose another place; nothing is ever overwritten, since a key may be the only one.",
    status=409,
)
UNREADABLE = reason(
    "cli.file_unreadable", "a file cannot be read", fix="Give a readable UTF-8 file, or - for standard input."
)
UNWRITABLE = reason("cli.file_unwritable", "a file cannot be written", fix="Choose a place that you may write to.")
NOT_CONFIRMED = reason(
    "cli.approver_not_confirmed",
    "no passkey was pinned or named",
    fix="See `troth approver list` and `troth approval list`; a number that differs is somebody else's passkey.",
    status=409,
)


class Proposed(Exception):
    """The server has proposed the act rather than done it. ``waiting`` is what it said of the proposal."""

    def __init__(self, waiting: dict[str, Any]) -> None:
        super().__init__(waiting.get("words", ""))
        self.waiting = waiting
