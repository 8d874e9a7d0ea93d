"""SQL of the status room: the snapshot that a table starts from, look-ups, and responders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from troth.pki.model import Responder
from troth.pki.serial import SerialNumber
from troth.status.feed_metrics import ReadFigures
from troth.status.model import Entry, Found, OutFigures
from troth.store.unit import Reader, Row

_COLUMNS = "serial, authority, status, status_version, status_at, revocation_reason, not_after"

# Keyset paging in the order of the partial index certificate_crl, which holds nothing but these rows.
_NOT_GOOD = f"""SELECT {_COLUMNS}, id FROM certificate
    WHERE crl_entry IS NOT NULL AND not_after > $1 AND (authority, not_after, id) > ($2, $3, $4)
    ORDER BY authority, not_after, id LIMIT $5"""
_BY_SERIAL = f"SELECT {_COLUMNS}, state FROM certificate WHERE serial = ANY($1::bytea[])"

_RESPONDERS = """SELECT DISTINCT ON (r.authority) r.certificate_id, r.authority, r.key_id, r.certificate,
        r.not_before, r.not_after
    FROM ocsp_responder r JOIN certificate c ON c.id = r.certificate_id AND c.status = 'good'
    WHERE r.not_before <= $1 AND r.not_after > $1
    ORDER BY r.authority, r.not_after DESC, r.certificate_id DESC"""
_FIRST_ID = UUID(int=0)
_ENROLMENTS = """SELECT kind, CASE WHEN status = 'valid' AND expires_at <= $1 THEN 'expired' ELSE status END AS state,
    count(*) AS n FROM enrolment GROUP BY 1, 2"""
_TPMS = "SELECT attested_at IS NOT NULL AS attested, count(*) AS n FROM tpm GROUP BY 1"
_FAILED_VALIDATIONS = """SELECT reason, count(*) AS n FROM acme_attempt
    WHERE at > $1 AND outcome <> 'valid' GROUP BY reason"""
_INCIDENTS = "SELECT count(*) FROM renewal_incident WHERE state <> 'ended'"
_REFUSED = "SELECT name, number FROM acme_refusal"
#: Reports are kept for longer than the time that is asked for; their index finds the day.
_ATTESTATIONS = """SELECT format, coalesce(reason, CASE WHEN accepted THEN 'attested' ELSE 'policy' END) AS result,
    count(*) AS n FROM attestation WHERE report IS NOT NULL AND at > $1 GROUP BY 1, 2"""
_FOUND = """SELECT
        CASE WHEN f.not_after <= $1 THEN 'ended' WHEN f.not_after <= $2 THEN 'ending' ELSE 'good' END AS life,
        c.id IS NOT NULL AS own, count(DISTINCT f.sha256) AS n
    FROM found_certificate f JOIN sighting s ON s.sha256 = f.sha256 JOIN host_report r ON r.subject_id = s.subject_id
    LEFT JOIN certificate c ON c.sha256 = f.sha256 WHERE s.last_seen_at >= r.received_at GROUP BY 1, 2"""
_REPORTS = """SELECT count(*) AS n, min(r.received_at) AS oldest FROM host_report r
    JOIN subject u ON u.id = r.subject_id AND u.removed_at IS NULL"""
_EST = "SELECT label, operation, result, number FROM est_count"
_PAUSED = "SELECT count(*) FROM acme_failing WHERE paused_at IS NOT NULL"
_STREAMS = "SELECT name, status, heard_at FROM ssf_stream"
_TOKENS = "SELECT stream, outcome, n FROM ssf_count"
_CONNECTORS = "SELECT connector, read, pulled_at, latency_ms, signals, failures FROM connector_read ORDER BY 1, 2"
_WIDE = "SELECT count(*) FROM ssf_wide WHERE state = 'waiting'"
_TOLD = """
SELECT s.id, s.receiver, s.status, count(t.id) AS waiting, min(t.queued_at) AS oldest
FROM ssf_out_stream s LEFT JOIN ssf_out_token t ON t.stream = s.id AND t.refused IS NULL GROUP BY s.id ORDER BY s.id"""
_TOLD_TOKENS = """
SELECT s.receiver, c.outcome, sum(c.n)::bigint AS n FROM ssf_out_count c JOIN ssf_out_stream s ON s.id = c.stream
GROUP BY 1, 2 ORDER BY 1, 2"""


class StatusReader:
    """Reads of certificate status."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def not_good(self, now: datetime, *, page: int = 10_000) -> AsyncIterator[list[Entry]]:
        """Every certificate that is held or revoked (burnt serial numbers are) and has not expired, page by page.

        The pages are separate reads: a change between two of them comes by the stream.
        """
        after: tuple[str, datetime, UUID] = ("", now, _FIRST_ID)
        while rows := await self._reader.fetch(_NOT_GOOD, now, *after, page):
            yield [_entry(row) for row in rows]
            last = rows[-1]
            after = (last["authority"], last["not_after"], last["id"])

    async def by_serials(self, serials: Sequence[bytes]) -> dict[bytes, Found]:
        """What is known of ``serials``; those that were never reserved are missing."""
        rows = await self._reader.fetch(_BY_SERIAL, list(serials))
        return {row["serial"]: Found(_entry(row), row["state"]) for row in rows}

    async def enrolments(self, now: datetime) -> dict[tuple[str, str], int]:
        """How many enrolments there are by (kind, state): valid, expired or revoked."""
        return {(row["kind"], row["state"]): row["n"] for row in await self._reader.fetch(_ENROLMENTS, now)}

    async def failed_validations(self, since: datetime) -> dict[str, int]:
        """Reason code → how many validations failed for it since then."""
        return {row["reason"]: int(row["n"]) for row in await self._reader.fetch(_FAILED_VALIDATIONS, since)}

    async def incidents(self) -> int:
        """Early renewals that have not ended."""
        return int(await self._reader.fetchval(_INCIDENTS))

    async def refusals(self) -> dict[str, int]:
        """How often each limit has refused an ACME client."""
        return {row["name"]: row["number"] for row in await self._reader.fetch(_REFUSED)}

    async def est(self) -> dict[tuple[str, str, str], int]:
        """What EST clients asked, by (label, operation, result)."""
        rows = await self._reader.fetch(_EST)
        return {(row["label"], row["operation"], row["result"]): row["number"] for row in rows}

    async def attestations(self, since: datetime) -> dict[tuple[str, str], int]:
        """Attestations that were judged since then, by (format, result)."""
        rows = await self._reader.fetch(_ATTESTATIONS, since)
        return {(row["format"], row["result"]): row["n"] for row in rows}

    async def streams(self) -> tuple[dict[str, tuple[str, datetime | None]], dict[tuple[str, str], int], int]:
        """Streams of shared signals: (status, when it was heard) by name; tokens by (stream, outcome); events that wait
        for a person."""
        rows = await self._reader.fetch(_STREAMS)
        streams = {row["name"]: (row["status"], row["heard_at"]) for row in rows}
        tokens = {(row["stream"], row["outcome"]): row["n"] for row in await self._reader.fetch(_TOKENS)}
        return streams, tokens, int(await self._reader.fetchval(_WIDE))

    async def told(self) -> tuple[tuple[OutFigures, ...], dict[tuple[str, str], int]]:
        """Streams to receivers of shared signals, and tokens by (receiver, outcome)."""
        streams = tuple(OutFigures(**dict(row)) for row in await self._reader.fetch(_TOLD))
        return streams, {(row["receiver"], row["outcome"]): row["n"] for row in await self._reader.fetch(_TOLD_TOKENS)}

    async def connector_reads(self) -> list[ReadFigures]:
        """How every read of every connector stands."""
        return [ReadFigures(**dict(row)) for row in await self._reader.fetch(_CONNECTORS)]

    async def paused(self) -> int:
        """Names that ACME clients never managed to prove, and that are paused."""
        return int(await self._reader.fetchval(_PAUSED))

    async def tpms(self) -> dict[bool, int]:
        """How many TPMs are registered, by whether an attestation key of theirs was ever certified."""
        return {row["attested"]: row["n"] for row in await self._reader.fetch(_TPMS)}

    async def found(self, now: datetime, soon: datetime) -> dict[tuple[str, bool], int]:
        """Certificates that agents found and that are there, each once: (``ended``, ``ending`` or ``good``; ours)."""
        return {(row["life"], row["own"]): row["n"] for row in await self._reader.fetch(_FOUND, now, soon)}

    async def reports(self) -> tuple[int, datetime | None]:
        """How many hosts report, and when the one that is silent longest last did."""
        row = await self._reader.fetchrow(_REPORTS)
        return (0, None) if row is None else (row["n"], row["oldest"])

    async def responders(self, now: datetime) -> list[Responder]:
        """The newest delegated responder of each authority that is in force at ``now``."""
        return [Responder(**dict(row)) for row in await self._reader.fetch(_RESPONDERS, now)]


def _entry(row: Row) -> Entry:
    return Entry(
        serial=SerialNumber(row["serial"]),
        authority=row["authority"],
        status=row["status"],
        version=row["status_version"],
        at=row["status_at"],
        reason=row["revocation_reason"],
        not_after=row["not_after"],
    )
