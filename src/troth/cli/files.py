"""What can be wrong with files that a command is given."""

from __future__ import annotations

from troth.kit.errors import reason

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
