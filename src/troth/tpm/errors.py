"""Bytes that are no structure of a TPM."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

STRUCTURE = reason(
    "tpm.structure.malformed",
    "a structure of the TPM cannot be read",
    fix="Send the bytes as the TPM returned them (TPM 2.0 Library, Part 2), without a size field before them unless "
    "the documentation asks for one, and with nothing after them.",
)


class TpmMalformed(TrothError):
    """Bytes that are no such structure."""
