"""Android's list of revoked attestation certificates (https://android.googleapis.com/attestation/status)."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

import msgspec

from troth.enroll.attest.errors import STATUS_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import StatusList

MAX_BYTES = 16 * 1024 * 1024
_HEX = re.compile(r"[0-9a-fA-F]{1,64}\Z")
_KNOWN = ("REVOKED", "SUSPENDED")


class _Entry(msgspec.Struct):
    status: str
    reason: str = ""


class _Document(msgspec.Struct):
    entries: dict[str, _Entry]


def read_statuses(data: bytes, fetched_at: datetime) -> StatusList:
    """The list in the maker's JSON. Raises AttestationRefused.

    A status that is not known counts as revoked: the maker lists nothing that is good.
    """
    if len(data) > MAX_BYTES:
        raise AttestationRefused(STATUS_UNREADABLE, f"longer than {MAX_BYTES:,} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AttestationRefused(STATUS_UNREADABLE, f"not the document: {str(error)[:120]}") from None
    entries: dict[str, tuple[str, str]] = {}
    for serial, entry in document.entries.items():
        if not _HEX.match(serial):
            raise AttestationRefused(STATUS_UNREADABLE, f"a serial number that is none: {serial[:40]!r}")
        status = entry.status if entry.status in _KNOWN else "REVOKED"
        # Leading zeros say nothing; a serial number of digits alone may be either base, and is held against both.
        entries[serial.lower().lstrip("0") or "0"] = (status, entry.reason[:64])
    return StatusList(entries, fetched_at, hashlib.sha256(data).hexdigest())
