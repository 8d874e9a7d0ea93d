"""Wiring of the exchange of platform tokens."""

from __future__ import annotations

from collections.abc import Sequence

from troth.assembly.context import RoleContext
from troth.enroll.credentials.service import Enrolments
from troth.enroll.tokens.desk import TokenDesk
from troth.enroll.tokens.routes import TokenDoor
from troth.kit.http import HttpClient
from troth.kit.lane import Route
from troth.store.pool import Database


def token_routes(context: RoleContext, database: Database, enrolments: Enrolments) -> Sequence[Route]:
    """The door, for a web process; where no issuer is configured there is none."""
    config = context.config
    if not config.tokens.issuers:
        return ()
    desk = TokenDesk(database, context.clock, enrolments, config.tokens, HttpClient(config.egress))
    directories = {name: f"{context.state.public_url}/acme/{name}/directory" for name in config.acme.directories}
    return TokenDoor(desk, context.clock, directories).routes()
