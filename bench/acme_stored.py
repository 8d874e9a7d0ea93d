"""Does an ACME order cost the same however many lie in the database? CPU per order at 10^3 … 10^6 stored ones.

    python -m bench.acme_stored [--sizes 1000 10000 100000 1000000] [--seconds 6] [--clients 16]

One Troth (``troth up``, embedded PostgreSQL with fsync) is filled up to each size with finished orders, their
authorizations, subjects, decisions, certificates and ledger rows, written by the database itself, is tidied up, and
then serves real orders (http-01) for some seconds. The rows have the shape and size of real ones; certificates are
random octets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from bench.acme import Figures, measure, table, troth
from bench.acme_load import account_keys, answering

_LONGEST_BATCH = 50_000

#: The id of row ``g`` of a kind: in the order of ``g``, and before every id that is made today.
_ID = (
    "('01800000-' || lpad(to_hex(g / 65536), 4, '0') || '-7' || '{kind}' || '-8000-' || lpad(to_hex(g), 12, '0'))::uuid"
)
_ROWS = "generate_series($1::int, $2::int) AS g"


def _id(kind: str) -> str:
    return _ID.format(kind=kind)


_FILL = (
    f"""INSERT INTO subject (id, kind, name, origin, standing_since, created_at, confirmed_at)
        SELECT {_id("001")}, 'workload', 'old' || g || '.bench.test', 'acme', now(), now(), now() FROM {_ROWS}""",
    f"""INSERT INTO acme_order (id, account_id, profile, status, identifiers, expires, attempt, csr_sha256,
            certificate_id, created_at)
        SELECT {_id("002")}, (SELECT id FROM acme_account OFFSET g % (SELECT count(*) FROM acme_account) LIMIT 1),
            'tls-server', 'valid', jsonb_build_array(jsonb_build_array('dns', 'old' || g || '.bench.test')),
            now() + interval '7 days', 1, sha256(int4send(g)), {_id("003")}, now() FROM {_ROWS}""",
    f"""INSERT INTO acme_authz (id, order_id, account_id, type, value, wildcard, status, expires, challenges)
        SELECT {_id("004")}, o.id, o.account_id, 'dns', o.identifiers -> 0 ->> 1, false, 'valid',
            now() + interval '8 hours', jsonb_build_array(jsonb_build_object('type', 'http-01', 'token',
            md5(g::text) || md5(g::text), 'status', 'valid', 'validated', now()::text))
        FROM {_ROWS} JOIN acme_order o ON o.id = {_id("002")}""",
    f"""INSERT INTO decision (id, at, subject_id, moment, outcome, reason, policy, policy_version, record, snapshot)
        SELECT {_id("005")}, now(), {_id("001")}, 'issue', 'allow', 'policy.conditions_met', 'tls-server', 1,
            convert_to(repeat(md5(g::text), 20), 'UTF8'), convert_to(repeat(md5(g::text), 30), 'UTF8') FROM {_ROWS}""",
    f"""INSERT INTO certificate (id, authority, serial, request_id, profile, profile_version, spki_sha256, names,
            not_before, not_after, state, der, sha256, decision_id, instance, reserved_at, issued_at, status_at, actor,
            key_assurance, subject)
        SELECT {_id("003")}, (SELECT slug FROM authority WHERE kind = 'issuing' LIMIT 1),
            '\\x40'::bytea || substr(sha256(int4send(g)), 1, 15), 'acme:' || {_id("002")} || ':1', 'tls-server', 1,
            sha256(int8send(g)), jsonb_build_array(jsonb_build_array('dns', 'old' || g || '.bench.test')), now(),
            now() + interval '90 days', 'issued', convert_to(repeat(md5(g::text), 24), 'UTF8'),
            sha256(int8send(-g)), {_id("005")}, {_id("006")}, now(), now(), now(), 'bench', 'unproven', '[]'
        FROM {_ROWS}""",
    f"""INSERT INTO certificate_subject (subject_id, certificate_id, role)
        SELECT {_id("001")}, {_id("003")}, 'subject' FROM {_ROWS}""",
    f"""INSERT INTO certificate_name (name, certificate_id)
        SELECT reverse('old' || g || '.bench.test'), {_id("003")} FROM {_ROWS}""",
)


async def fill(url: str, already: int, size: int) -> None:
    """Have rows ``already`` + 1 to ``size`` of everything."""
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    try:
        for first in range(already + 1, size + 1, _LONGEST_BATCH):
            last = min(size, first + _LONGEST_BATCH - 1)
            for statement in _FILL:
                await connection.execute(statement, first, last)
        # What filling leaves behind (rows that nobody has looked over) is no part of an order.
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def database_url(data: Path) -> str:
    """The embedded database of a data directory."""
    socket = next(path for path in data.glob("**/.s.PGSQL.*") if path.suffix != ".lock")
    return f"postgresql:///troth?host={socket.parent}&port={socket.name.rpartition('.')[2]}&user=troth"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clients", type=int, default=16)
    chosen = parser.parse_args()
    keys = account_keys(chosen.clients)
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name:
        directory = Path(name)
        with answering([key.public.thumbprint for key in keys]) as ports, troth(directory, *ports) as server:
            url = database_url(directory)
            measure(server, "troth", keys, 2.0)
            already = 0
            for size in sorted(chosen.sizes):
                begun = time.monotonic()
                asyncio.run(fill(url, already, size))
                already = size
                print(f"filled up to {size} orders in {time.monotonic() - begun:.0f} s", file=sys.stderr)
                rows.append(measure(server, f"troth 10^{len(str(size)) - 1}", keys, chosen.seconds))
    table(rows)
    print(json.dumps({f"{row.server.replace(' ', '_')}_cpu_ms": round(row.total, 2) for row in rows}))
    return 1 if any(row.result.errors for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
