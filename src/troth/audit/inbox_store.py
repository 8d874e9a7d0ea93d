"""The one statement by which every room writes to the ledger. The sequencer takes it from there."""

from __future__ import annotations

from troth.store.statement import Write

INBOX = Write(
    "ledger_inbox",
    """INSERT INTO ledger_inbox (id, recorded_at, payload, salt)
       SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[], $4::bytea[])""",
    ("uuid", "timestamptz", "bytea", "bytea"),
    rank=95,
)
