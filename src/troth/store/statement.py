"""SQL written for sets: each statement takes one array per column, so that many units share one round trip.

Three kinds, in the order in which a commit runs them:

* :class:`Guard` looks and locks. It says which units may go on.
* :class:`Claim` takes a name that only one may have (a request id, a serial number). It says who got it.
* :class:`Write` writes. It cannot fail for one unit alone; if it fails, the pool runs the units singly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """One set-based statement.

    Attributes:
        name: unique, for error messages and grouping.
        sql: the text; each column of ``types`` arrives as one array, unpacked with ``unnest``.
        types: PostgreSQL element types in order (``uuid``, ``text``, ``bytea``, ``jsonb`` as encoded text …).
        rank: statements run in the order of (rank, name), the same in every process: locks are always
            taken in one order, so two commits cannot wait for each other in a ring.
    """

    name: str
    sql: str
    types: tuple[str, ...]
    rank: int = 50


@dataclass(frozen=True, slots=True)
class Guard(Statement):
    """A SELECT that returns the ordinals (first parameter, ``$1::int[]``) of the units whose state is as expected.

    It should lock what it looked at (``FOR UPDATE`` or ``FOR SHARE``, rows in key order).
    """


@dataclass(frozen=True, slots=True)
class Claim(Statement):
    """An ``INSERT … ON CONFLICT DO NOTHING`` that returns the ordinals of the units whose row went in.

    By convention it ends in ``SELECT i.n FROM i JOIN w …``, and the first column is the claimed key; the pool never
    puts two units that claim the same key into one batch, since the statement could not tell them apart.
    """


@dataclass(frozen=True, slots=True)
class Write(Statement):
    """An INSERT, UPDATE or DELETE over arrays; ``$1`` is the first column.

    Attributes:
        wakes: channel of those who wait for such rows; woken after each commit that had some.
    """

    wakes: str = ""
