"""Wiring of the admin application: people, their pages and their API."""

from __future__ import annotations

from urllib.parse import urlsplit

from troth.assembly.authz import Authz
from troth.assembly.connecting import Connecting
from troth.assembly.context import RoleContext
from troth.assembly.effects import effect_desk
from troth.assembly.enrolling import Enrolling
from troth.assembly.est import labels_of
from troth.assembly.mint import Mint
from troth.assembly.nas import nas_desk
from troth.assembly.people import access_of
from troth.assembly.shared_signals import SharedSignals
from troth.assembly.state import State
from troth.assembly.trust import Trust
from troth.assembly.ways import place_desk, pool_desk
from troth.audit.note import NoteKey
from troth.enroll.issuance import Issuance
from troth.kit.lane import Asgi
from troth.radius.admission.desk import NetworkDesk
from troth.radius.methods.desk import ListDesk
from troth.store.pool import Database
from troth.trust.authoring.trial import Guard
from troth.web.app import make_admin_app
from troth.web.books import Rooms, build
from troth.web.books.receivers import ReceiverBook
from troth.web.books.shared_signals import StreamBook


async def admin_app(
    context: RoleContext,
    database: Database,
    mint: Mint,
    trust: Trust,
    issuance: Issuance,
    enrolling: Enrolling,
    connecting: Connecting,
    shared: SharedSignals,
    authz: Authz,
) -> Asgi:
    """The application for the admin listener and the Unix socket; it wants to be told of start and end once."""
    notary = await mint.signer.notary_state()
    networks = NetworkDesk(database, context.clock)
    pools = pool_desk(context, database, networks)
    receivers = ReceiverBook(context.clock, shared.sending.desk)
    rooms = Rooms(
        database=database,
        clock=context.clock,
        access=access_of(database, context.clock, context.state),
        issuance=issuance,
        catalogue=mint.catalogue,
        interlock=mint.clocks,
        orders=trust.orders,
        feeds=trust.feeds,
        connectors=connecting.desk,
        streams=StreamBook(database, context.clock, shared.desk, shared.manager, shared.wide, receivers),
        pools=pools,
        lists=ListDesk(database, context.clock),
        places=place_desk(database, context.clock, networks, pools),
        networks=networks,
        access_servers=nas_desk(context, database),
        effects=effect_desk(context, database),
        notary_key=NoteKey.parse(notary.verifier_key),
        owner_uid=context.layout.root.stat().st_uid,
        ending=context.stop,
        backup=context.config.backup,
        test_mode=context.config.acme_test.enabled,
        renewals_per_minute=context.config.acme.renewals_per_minute,
        keys=mint.signer,
        judge=mint.signer,
        enrolments=enrolling.enrolments,
        pausing=enrolling.pausing,
        directories={name: one.profiles for name, one in context.config.acme.directories.items()},
        est=labels_of(context.config.est),
        est_default=context.config.est.default,
        public_url=context.state.public_url,
        radius_certificate=context.config.radius.certificate,
        radius_rsa_certificate=context.config.radius.rsa_certificate,
        radius_rsa_authority=context.config.radius.rsa_authority,
        radius_steering=context.layout.radius_steering,
        applications=authz.applications,
        policy_guard=Guard(context.config.policy.guard_percent, context.config.policy.guard_subjects),
    )
    return make_admin_app(build(rooms), hosts=_hosts(context.state))


def _hosts(state: State) -> set[str]:
    """The names under which the dashboard answers; any other is a rebinding attack or a mistake."""
    return {urlsplit(state.admin_url).hostname or "localhost", state.listeners["admin"].host, "localhost", "127.0.0.1"}
