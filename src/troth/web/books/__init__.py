"""The ports of :mod:`troth.web.services`, fulfilled by the rooms below: what they know, turned into views.

No rule is decided here. ``build`` makes them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from troth.access.service import Access
from troth.audit.note import NoteKey
from troth.audit.store import LedgerStore
from troth.audit.stream import Stream
from troth.connect.authz.applications import Applications
from troth.connect.desk import ConnectorDesk
from troth.enroll.acme.attempt_store import AttemptStore
from troth.enroll.acme.incidents import Incidents
from troth.enroll.acme.pausing import Pausing
from troth.enroll.credentials.service import Enrolments
from troth.enroll.est.model import Label
from troth.enroll.issuance import Issuance
from troth.kit.clock import Clock
from troth.kit.settings import BackupSettings
from troth.ops.rollover.service import Rollovers
from troth.pki.bulk import BulkRevocations
from troth.pki.catalogue import Catalogue
from troth.pki.ports import Interlock
from troth.radius.admission.desk import NetworkDesk
from troth.radius.dynamic.desk import OrderDesk
from troth.radius.methods.desk import ListDesk
from troth.radius.nas.desk import NasDesk
from troth.radius.places.service import PlaceDesk
from troth.radius.proxy.desk import PoolDesk
from troth.store.pool import Database
from troth.trust.authoring.replay_service import Replay
from troth.trust.authoring.service import PolicyService
from troth.trust.authoring.trial import Guard, Trials
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.orders import Orders
from troth.trust.feeds.desk import FeedDesk
from troth.trust.intake.unresolved import UnresolvedDesk
from troth.trust.outbox.desk import EffectDesk
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects
from troth.web.acts.wiring import approvals_of
from troth.web.books.access_servers import AccessServers, NasDocument
from troth.web.books.anchors import Anchors
from troth.web.books.applications import ApplicationBook
from troth.web.books.approvers import ApproverDesk
from troth.web.books.attestations import AttestationBook
from troth.web.books.authorities import Authorities
from troth.web.books.certificates import Certificates
from troth.web.books.connectors import Connectors, Unresolved
from troth.web.books.crls import Crls
from troth.web.books.effects import EffectBook
from troth.web.books.enforcing import Staged, Switch
from troth.web.books.enrolments import AccountBook, EnrolmentBook
from troth.web.books.est import EstBook
from troth.web.books.events import Events
from troth.web.books.found import Found
from troth.web.books.inspecting import Inspections
from troth.web.books.keys import Keys, KeySigner
from troth.web.books.network_health import NetworkHealth
from troth.web.books.networks import ConversationBook, NetworkBook, NetworksDocument
from troth.web.books.places import PlaceDocument, Places
from troth.web.books.policies import PolicyBook
from troth.web.books.profiles import Profiles
from troth.web.books.radius import RadiusBook
from troth.web.books.recovery import Recovery
from troth.web.books.sessions import SessionBook
from troth.web.books.shared_signals import StreamBook
from troth.web.books.standings import Standings
from troth.web.books.subjects import Decisions, SubjectPages
from troth.web.books.system import HealthChecks
from troth.web.books.tpms import Tpms
from troth.web.books.trusting import Documents
from troth.web.books.ways import ProxyDocument, Ways
from troth.web.judging import JudgeSigner
from troth.web.live import Live
from troth.web.network import NetworkDocument
from troth.web.services import AdminServices


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """What assembly hands in.

    Attributes:
        notary_key: the public key that the ledger's checkpoints verify under.
        owner_uid: the uid that owns the data directory.
        ending: set when the process is told to end; open event streams are closed then.
        test_mode: the ACME server is in test mode, which nobody shall overlook.
        renewals_per_minute: certificates that incidents may have renewed early in a minute.
        keys: the signer, asked who holds the authorities' keys; without it the custodian is unknown.
        judge: the signer, as the judge of acts; without it there are none that it judges.
        applications: who may ask whether to let somebody in: the same that the door believes.
        policy_guard: how much of the fleet a policy may take from without being asked about it.
        directories: ACME directories by name, with the profiles of each; public_url: where they are.
    """

    database: Database
    clock: Clock
    access: Access
    issuance: Issuance
    catalogue: Catalogue
    interlock: Interlock
    orders: Orders
    feeds: FeedDesk
    connectors: ConnectorDesk
    streams: StreamBook
    places: PlaceDesk
    pools: PoolDesk
    lists: ListDesk
    access_servers: NasDesk
    networks: NetworkDesk
    effects: EffectDesk
    notary_key: NoteKey
    owner_uid: int
    ending: asyncio.Event | None = None
    backup: BackupSettings | None = None
    renewals_per_minute: int = 600
    test_mode: bool = False
    keys: KeySigner | None = None
    judge: JudgeSigner | None = None
    enrolments: Enrolments
    pausing: Pausing
    directories: Mapping[str, Sequence[str]]
    est: Mapping[str, Label] = field(default_factory=dict)
    est_default: str = ""
    public_url: str = ""
    radius_certificate: str = ""
    radius_rsa_certificate: str = ""
    radius_rsa_authority: str = ""
    radius_steering: Path | None = None
    policy_guard: Guard | None = None
    applications: Applications | None = None


def build(rooms: Rooms) -> AdminServices:
    """The admin application's services over the real rooms."""
    database, clock = rooms.database, rooms.clock
    incidents = Incidents(database, clock, most=rooms.renewals_per_minute)
    network: dict[str, NetworkDocument] = {
        "places": PlaceDocument(rooms.places),
        "networks": NetworksDocument(rooms.networks),
        "proxies": ProxyDocument(rooms.pools),
        "nas": NasDocument(rooms.access_servers),
    }
    radius = RadiusBook(
        database, rooms.catalogue, clock, rooms.radius_certificate, rsa_certificate=rooms.radius_rsa_certificate,
        rsa_authority=rooms.radius_rsa_authority,
    )  # fmt: skip
    est = EstBook(database, rooms.est, rooms.est_default, rooms.public_url)
    finder = Subjects(SubjectStore(database))
    authorities = Authorities(database, clock, rooms.keys)
    policies = PolicyService(database, clock)
    trials = Trials(policies, Replay(database, rooms.issuance.judge, clock), rooms.policy_guard)
    documents = Documents(
        database,
        clock,
        Directory(database, clock),
        policies,
        rooms.feeds,
        rooms.catalogue,
        rooms.connectors,
        rooms.streams.desk,
        rooms.streams.receivers.desk,
        trials,
        rooms.effects,
        network,
    )
    approvals = approvals_of(
        database,
        clock,
        rooms.access,
        orders=rooms.orders,
        feeds=rooms.feeds,
        streams=rooms.streams,
        effects=rooms.effects,
        catalogue=rooms.catalogue,
        subjects=finder,
        incidents=incidents,
        enrolments=rooms.enrolments,
        connectors=rooms.connectors,
        access_servers=rooms.access_servers,
        keys=rooms.keys,
        judge=rooms.judge,
        trials=trials,
        documents=network,
    )
    return AdminServices(
        clock=clock,
        access=rooms.access,
        approvals=approvals,
        bulk=BulkRevocations(database, clock),
        incidents=incidents,
        certificates=Certificates(database, clock, finder, rooms.issuance, rooms.catalogue),
        subjects=SubjectPages(database, clock, finder),
        decisions=Decisions(database),
        events=Events(database, rooms.notary_key),
        staged=Staged(database, rooms.orders),
        configuration=documents,
        policies=PolicyBook(policies, trials),
        applications=ApplicationBook(rooms.applications or Applications(database, clock)),
        profiles=Profiles(database, clock, rooms.catalogue, rooms.issuance, finder),
        enforcement=Switch(rooms.orders),
        effects=EffectBook(database, clock, rooms.effects),
        authorities=authorities,
        crls=Crls(database, clock, rooms.catalogue),
        approvers=ApproverDesk(database, rooms.access.party, rooms.judge),
        keys=Keys(rooms.keys, clock, database),
        rollovers=Rollovers(database, clock, rooms.catalogue),
        anchors=Anchors(database, clock),
        places=Places(rooms.places),
        ways=Ways(rooms.pools, rooms.lists, clock),
        access_servers=AccessServers(rooms.access_servers),
        networks=NetworkBook(rooms.networks, clock),
        conversations=ConversationBook(database),
        sessions=SessionBook(database, OrderDesk(database, clock)),
        radius=radius,
        connectors=Connectors(database, clock, rooms.connectors, rooms.public_url),
        unresolved=Unresolved(database, UnresolvedDesk(database, clock), finder),
        tpms=Tpms(database, clock),
        standings=Standings(database, clock, Enforcer(), rooms.feeds),
        attestations=AttestationBook(database, clock, rooms.catalogue),
        found=Found(database, clock),
        enrolments=EnrolmentBook(database, clock, rooms.enrolments, finder, rooms.directories, rooms.public_url, est),
        est=est,
        streams=rooms.streams,
        attempts=AttemptStore(database),
        acme_accounts=AccountBook(database, clock, rooms.pausing),
        health=HealthChecks(
            database,
            clock,
            authorities,
            rooms.interlock,
            approvals,
            NetworkHealth(database, clock, radius, rooms.radius_steering),
            rooms.backup,
            rooms.keys,
            test_mode=rooms.test_mode,
        ),
        inspections=Inspections(database, clock, rooms.catalogue),
        recovery=Recovery(database),
        live=Live(Stream(database, clock), LedgerStore(database), rooms.ending),
        owner_uid=rooms.owner_uid,
        test_mode=rooms.test_mode,
    )
