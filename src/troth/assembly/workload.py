"""Wiring of the workload door."""

from __future__ import annotations

from datetime import timedelta

from troth.assembly.context import RoleContext
from troth.assembly.mint import Mint
from troth.enroll.acme.nonce import NonceMap
from troth.enroll.issuance import Issuance
from troth.enroll.workload.desk import SvidDesk
from troth.enroll.workload.jwt import JwtDesk
from troth.enroll.workload.jwt_keys import JwtKeys
from troth.enroll.workload.node import NodeDesk
from troth.enroll.workload.routes import WorkloadDoor
from troth.inventory.routes import ReportDoor
from troth.inventory.service import Reports
from troth.store.pool import Database


def node_desk(context: RoleContext, database: Database) -> NodeDesk:
    """Who is an agent, for every door that agents use."""
    # The map is the file's: whatever this object consumes is consumed for the ACME door as well.
    nonces = NonceMap(context.layout.nonces, clock=context.clock)
    return NodeDesk(database, context.clock, nonces, profiles=context.config.workload.agent_profiles)


def report_door(context: RoleContext, database: Database, nodes: NodeDesk) -> ReportDoor:
    """The door for what agents found, for a web process."""
    return ReportDoor(context.state.public_url, nodes, Reports(database, context.clock), context.clock)


def workload_door(
    context: RoleContext, database: Database, mint: Mint, issuance: Issuance, nodes: NodeDesk
) -> WorkloadDoor:
    """The door, for a web process."""
    settings = context.config.workload
    longest = timedelta(seconds=settings.svid_seconds)
    desk = SvidDesk(database, context.clock, issuance, mint.catalogue, longest=longest)
    jwts = JwtDesk(
        database,
        context.clock,
        issuance,
        mint.signer,
        JwtKeys(mint.signer, context.clock),
        mint.interlock,
        longest=timedelta(seconds=settings.jwt_seconds),
    )
    per_minute = settings.requests_per_minute
    return WorkloadDoor(context.state.public_url, nodes, desk, jwts, context.clock, per_minute=per_minute)
