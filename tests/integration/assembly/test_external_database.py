"""``database.url``: a Troth on somebody else's PostgreSQL starts none of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.dns import DnsServer
from tests.support.postgres import PostgresServer, run_apart
from tests.support.running import make_troth
from tests.support.webroot import ChallengeWebRoot


def test_a_troth_on_an_existing_postgresql_issues_and_keeps_nothing_of_its_own(
    tmp_path: Path, postgres: PostgresServer, applicant: tuple[ChallengeWebRoot, DnsServer]
) -> None:
    run_apart(postgres.execute("CREATE DATABASE outside"))
    troth = make_troth(tmp_path / "data", *applicant)
    troth = replace(troth, environment={"TROTH__DATABASE__URL": postgres.url("outside")})
    troth.start()
    try:
        assert not (troth.data / "pg").exists()
        status, answer = troth.get(f"{troth.summary['http_url']}/ca/issuing.pem")
        assert status == 200
        assert b"BEGIN CERTIFICATE" in answer
        listed = troth.run("cert", "list", "--output", "json").stdout
        assert '"profile":"troth-service"' in listed.replace(" ", "")
        assert "none changed, removed or moved" in troth.run("audit", "verify").stdout
        run_apart(postgres.execute("UPDATE ledger_event SET actor = 'nobody' WHERE idx = 2", "outside"))
        told = troth.run("audit", "verify", check=False)
        assert (told.returncode, "event 2" in told.stdout) == (1, True)
        # A password in the address would be a secret: no command line and no log line holds the address.
        for process in troth.processes():
            assert "outside" not in " ".join(process.cmdline())
        assert postgres.url("outside") not in troth.log()
    finally:
        assert troth.stop() == 0
        run_apart(postgres.execute("DROP DATABASE outside WITH (FORCE)"))
