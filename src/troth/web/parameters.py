"""Parameters of a request with their bounds.

A bound stands in the parameter's own declaration. ``FromQuery[Annotated[int, Meta(ge=1)]]`` looks like one and binds
nobody: Litestar makes a ``Meta`` of its own out of the parameter, and forgets the one inside.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from litestar.params import PathParameter, QueryParameter

#: PostgreSQL's bigint and integer.
_BIG, _INTEGER = 2**63 - 1, 2**31 - 1

#: How many of a list at most.
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=200)]
LongLimit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=500)]
Days: TypeAlias = Annotated[int | None, QueryParameter(ge=0, le=36_500)]
#: Index of an event in the ledger.
Index: TypeAlias = Annotated[int | None, QueryParameter(ge=0, le=_BIG)]
#: Of a policy or profile.
Version: TypeAlias = Annotated[int | None, QueryParameter(ge=0, le=_INTEGER)]
GivenVersion: TypeAlias = Annotated[int, QueryParameter(ge=0, le=_INTEGER)]
VersionOfPath: TypeAlias = Annotated[int, PathParameter(ge=0, le=_INTEGER)]
