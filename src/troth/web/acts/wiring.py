"""Which executor does which kind of act."""

from __future__ import annotations

from collections.abc import Mapping

from troth.access.approvals.acts import AccountAct, PersonChange, RoleGrant, RuleChange
from troth.access.approvals.model import Executor
from troth.access.approvals.service import Approvals
from troth.access.approvals.store import ApprovalStore
from troth.access.service import Access
from troth.connect.desk import ConnectorDesk
from troth.enroll.acme.closing import Closer
from troth.enroll.acme.incidents import Incidents
from troth.enroll.attest.service import Attestations
from troth.enroll.credentials.service import Enrolments
from troth.enroll.tpm.registry import TpmRegistry
from troth.kit.clock import Clock
from troth.ops.rollover.service import Rollovers
from troth.pki.bulk import BulkRevocations
from troth.pki.catalogue import Catalogue
from troth.pki.signer import acts
from troth.radius.nas.desk import NasDesk
from troth.store.pool import Database
from troth.trust.authoring.service import PolicyService
from troth.trust.authoring.trial import Trials
from troth.trust.enforcement.enforce import Enforcer
from troth.trust.enforcement.exemptions import Exemptions
from troth.trust.enforcement.orders import Orders
from troth.trust.enforcement.reevaluation import Reevaluation
from troth.trust.feeds.desk import FeedDesk
from troth.trust.outbox.desk import EffectDesk
from troth.trust.standings.service import RulesService
from troth.trust.subjects.directory_plan import Directory
from troth.trust.subjects.whom import Subjects
from troth.web import network
from troth.web.acts.admission import AuthorityAdd
from troth.web.acts.anchors import AnchorAdd, AnchorRemove
from troth.web.acts.attestations import AttestationRoots
from troth.web.acts.authorities import AuthorityStateChange, CrlCut
from troth.web.acts.bulk import RevokeMany
from troth.web.acts.ceremonies import CeremonyImport, KeyList
from troth.web.acts.closing import AcmeAccountRevoke, EnrolmentRevoke
from troth.web.acts.connectors import ConnectorApply
from troth.web.acts.documents import DirectoryApply, FeedGrant, PolicyApply, ProfileApply
from troth.web.acts.enforcement import StagedApproval, Unfreeze
from troth.web.acts.feeds import FeedResume, FeedSecret
from troth.web.acts.issuances import IssuanceApproval
from troth.web.acts.judged import ApproverAdd, ApproverNumber, ApproverRemove, KeyAttach, KeyGenerate
from troth.web.acts.keys import BlockKey
from troth.web.acts.nas import NasSecret
from troth.web.acts.network import NetworkApply
from troth.web.acts.reactions import ReactionsApply
from troth.web.acts.recovery import RecoveryDecide
from troth.web.acts.renewals import RenewEarly
from troth.web.acts.rollovers import CrossAdd, RolloverAct
from troth.web.acts.shared_signals import ReceiverGrant, StreamApply, WideAct
from troth.web.acts.standings import ExemptionGrant, FeedRollout, StandingApply
from troth.web.acts.tpms import TpmRegister, TpmRemove
from troth.web.books.shared_signals import StreamBook
from troth.web.judging import JudgeSigner, SignerJudging
from troth.web.network import NetworkDocument


def approvals_of(
    database: Database,
    clock: Clock,
    access: Access,
    *,
    orders: Orders,
    feeds: FeedDesk,
    streams: StreamBook,
    effects: EffectDesk,
    catalogue: Catalogue,
    subjects: Subjects,
    incidents: Incidents,
    enrolments: Enrolments,
    connectors: ConnectorDesk,
    access_servers: NasDesk,
    keys: KeyList | None = None,
    judge: JudgeSigner | None = None,
    trials: Trials | None = None,
    documents: Mapping[str, NetworkDocument] | None = None,
    more: dict[str, Executor] | None = None,
) -> Approvals:
    """The two-person rule over the real rooms. ``judge``: the signer, for acts that it judges itself; ``more``: further
    kinds of act; ``trials``: who weighs a policy before it is applied; ``documents``: of the network, by their keys."""
    store = ApprovalStore(database)
    enforcer = Enforcer()
    anew = Reevaluation(database, clock, enforcer)
    executors: dict[str, Executor] = {
        "role.grant": RoleGrant(access.invitations, access.accounts),
        "account.disable": AccountAct(access.accounts, store, "disable"),
        "account.enable": AccountAct(access.accounts, store, "enable"),
        "account.remove": AccountAct(access.accounts, store, "remove"),
        "person.change": PersonChange(access.accounts),
        "policy.apply": PolicyApply(database, PolicyService(database, clock), trials),
        "profile.apply": ProfileApply(catalogue),
        "issuance.approve": IssuanceApproval(database),
        "feed.grant": FeedGrant(feeds),
        "directory.apply": DirectoryApply(database, Directory(database, clock)),
        "feed.secret": FeedSecret(feeds),
        "connector.apply": ConnectorApply(connectors),
        "nas.secret": NasSecret(access_servers),
        "ssf.apply": StreamApply(streams.desk),
        "ssf.grant": ReceiverGrant(streams.receivers.desk),
        "ssf.wide": WideAct(streams.wide),
        "feed.resume": FeedResume(feeds),
        "feed.rollout": FeedRollout(feeds, anew),
        "standing.apply": StandingApply(RulesService(database, clock), anew),
        "exemption.grant": ExemptionGrant(Exemptions(database, clock, enforcer)),
        "enforcement.unfreeze": Unfreeze(orders),
        "reactions.apply": ReactionsApply(database, effects),
        "staged.approve": StagedApproval(database, orders),
        "certificate.revoke_many": RevokeMany(BulkRevocations(database, clock), subjects),
        "key.block": BlockKey(database, clock),
        "renewal.early": RenewEarly(incidents),
        "enrolment.revoke": EnrolmentRevoke(enrolments, Closer(database, clock)),
        "acme_account.revoke": AcmeAccountRevoke(Closer(database, clock)),
        "authority.state": AuthorityStateChange(database, clock, catalogue),
        "authority.add": AuthorityAdd(database, clock, catalogue, keys),
        "trust_anchor.add": AnchorAdd(database, clock),
        "trust_anchor.remove": AnchorRemove(database),
        "attestation.roots": AttestationRoots(Attestations(database, clock), clock),
        "tpm.register": TpmRegister(TpmRegistry(database, clock, subjects)),
        "tpm.remove": TpmRemove(TpmRegistry(database, clock, subjects)),
        "authority.cross": CrossAdd(database, clock, catalogue),
        **{
            f"rollover.{what}": RolloverAct(database, catalogue, Rollovers(database, clock, catalogue), what)
            for what in ("start", "advance", "attest", "back_out")
        },
        "authority.crls": CrlCut(database, catalogue),
        **{network.ACTS[key]: NetworkApply(one) for key, one in (documents or {}).items()},
        "recovery.decide": RecoveryDecide(database, clock),
        "ceremony.import": CeremonyImport(database, clock, catalogue, keys),
        **(more or {}),
    }
    if judge is not None:
        executors |= {
            acts.ADD: ApproverAdd(database, clock, judge, access.party),
            acts.REMOVE: ApproverRemove(database, clock, judge),
            acts.NUMBER: ApproverNumber(database, clock, judge),
            acts.GENERATE: KeyGenerate(database, clock, judge),
            acts.ATTACH: KeyAttach(database, clock, judge),
        }
    executors["rule.change"] = RuleChange(database, clock, lambda: tuple(sorted(executors)))
    judging = None if judge is None else SignerJudging(judge)
    return Approvals(database, clock, access.party, executors, judging)
