"""The database of a FreeRADIUS that does what Troth does: who may join now, who joined, and accounting.

The usual way: ``rlm_sql_postgresql`` with the tables and queries that Debian ships with it (``freeradius-postgresql``),
and one table of its own for the posture of each device, by its certificate's serial number, asked at every
authentication, a resumed one too. PostgreSQL writes to disk before it answers, there as in Troth. FreeRADIUS 3.2.1
knows nothing of the certificate any more when a session of TLS 1.3 is resumed: then it asks by User-Name, which costs
the same and is nobody's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
from cryptography import x509

from tests.support.postgres import PostgresServer, run_apart
from tests.support.radius_devices import Credential

_DRIVER = Path("/usr/lib/freeradius/rlm_sql_postgresql.so")
_SHIPPED = Path("/etc/freeradius/3.0/mods-config/sql/main/postgresql")
_POSTURE = "CREATE TABLE posture (device text PRIMARY KEY, compliant boolean NOT NULL)"

MODULE = """
  expr {{
  }}
  sql {{
    driver = "rlm_sql_postgresql"
    dialect = "postgresql"
    server = "{socket}"
    login = "troth"
    radius_db = "radius"
    acct_table1 = "radacct"
    acct_table2 = "radacct"
    postauth_table = "radpostauth"
    authcheck_table = "radcheck"
    groupcheck_table = "radgroupcheck"
    authreply_table = "radreply"
    groupreply_table = "radgroupreply"
    usergroup_table = "radusergroup"
    client_table = "nas"
    group_attribute = "SQL-Group"
    read_groups = no
    pool {{
      start = 5
      min = 3
      max = 32
      spare = 10
      uses = 0
      retry_delay = 30
      lifetime = 0
      idle_timeout = 60
    }}
    $INCLUDE {queries}
  }}
"""
#: By which accounting finds the row of its session.
POLICIES = """
instantiate {
  expr
}
policy {
  $INCLUDE /etc/freeradius/3.0/policy.d/accounting
}
"""
#: Whoever is not known to be compliant is rejected.
POST_AUTH = """
    if ("%{sql:SELECT compliant FROM posture WHERE device = '%{%{TLS-Client-Cert-Serial}:-%{User-Name}}'}" != "t") {
      reject
    }
    sql
"""


@dataclass(frozen=True)
class Tables:
    """A running PostgreSQL with FreeRADIUS' tables in it."""

    server: PostgresServer

    @property
    def module(self) -> str:
        """FreeRADIUS' configuration of it."""
        return MODULE.format(socket=self.server.directory, queries=_SHIPPED / "queries.conf")

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes as they are now."""
        if self.server.process is None:
            return ()
        whole = psutil.Process(self.server.process.pid)
        return (whole.pid, *(one.pid for one in whole.children(recursive=True)))

    def count(self) -> int:
        """How many authentications were written down."""
        return run_apart(self._count())

    async def _count(self) -> int:
        connection = await asyncpg.connect(self.server.url("radius"))
        try:
            return int(await connection.fetchval("SELECT count(*) FROM radpostauth"))
        finally:
            await connection.close()


@contextmanager
def tables(devices: Iterable[Credential]) -> Iterator[Tables]:
    """A database that knows these devices as compliant."""
    if not _DRIVER.exists():
        raise SystemExit("FreeRADIUS has no driver for PostgreSQL: apt-get install freeradius-postgresql")
    server = PostgresServer.create(durable=True)
    try:
        run_apart(server.execute("CREATE DATABASE radius"))
        names = [name for one in devices for name in (_serial(one), one.identity.decode())]
        rows = ", ".join(f"('{name}', true)" for name in names)
        schema = (_SHIPPED / "schema.sql").read_text()
        for statement in (schema, _POSTURE, f"INSERT INTO posture VALUES {rows}"):
            run_apart(server.execute(statement, "radius"))
        yield Tables(server)
    finally:
        server.destroy()


def _serial(credential: Credential) -> str:
    """Of a device's certificate as FreeRADIUS writes it: whole octets in hexadecimal."""
    serial = x509.load_pem_x509_certificates(credential.chain.read_bytes())[0].serial_number
    return serial.to_bytes((serial.bit_length() + 8) // 8, "big").hex()
