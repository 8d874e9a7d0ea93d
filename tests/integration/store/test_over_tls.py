"""A PostgreSQL elsewhere, reached by TCP and TLS: exchanges travel over whatever connection the driver made."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import uvloop

from tests.support.postgres import PostgresServer, unprivileged_user
from tests.support.programs import find_program, need_file
from troth.kit.clock import SystemClock
from troth.kit.ids import new_id
from troth.store.pool import Database
from troth.store.statement import Write
from troth.store.unit import Unit

ADD = Write("t_add", "INSERT INTO t (id, v) SELECT * FROM unnest($1::uuid[], $2::text[])", ("uuid", "text"))
LARGE = "x" * 20_000


async def used(url: str) -> None:
    """Commit and read over ``url``."""
    database = await Database.open(url, clock=SystemClock())
    try:
        assert await database.lookups.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        await database.fetch("CREATE TABLE t (id uuid PRIMARY KEY, v text)")
        await asyncio.gather(*(database.commit(Unit().write(ADD, new_id(), LARGE)) for _ in range(60)))
        assert [row["v"] for row in await database.lookups.fetch("SELECT v FROM t")] == [LARGE] * 60
        await database.fetch("DROP TABLE t")
    finally:
        await database.close()


def test_commits_and_look_ups_pass_through_tls_under_both_event_loops() -> None:
    # The wheel's PostgreSQL is built without TLS.
    need_file("/usr/lib/postgresql/*/bin/postgres", "postgresql")
    openssl, user = find_program("openssl"), unprivileged_user()
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="troth-pg-", dir="/tmp")), binaries, user)
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        certificate, key = server.directory / "server.pem", server.directory / "server.key"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
             "-out", certificate, "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True,
        )  # fmt: skip
        key.chmod(0o600)
        for path in (server.directory, certificate, key):
            if user is not None:
                shutil.chown(path, user)
        server.settings = {
            "listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on",
            "ssl_cert_file": str(certificate), "ssl_key_file": str(key),
        }  # fmt: skip
        server._initdb()
        server.start()
        user_name = server.url().partition("://")[2].partition("@")[0]
        url = f"postgresql://{user_name}@127.0.0.1:{port}/postgres?sslmode=require"
        asyncio.run(used(url))
        uvloop.run(used(url))
    finally:
        server.destroy()
