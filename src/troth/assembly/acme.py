"""Wiring of the ACME door and of its validations."""

from __future__ import annotations

from datetime import timedelta

from troth.assembly.attesting import attestations_of, attesting_of
from troth.assembly.context import RoleContext
from troth.assembly.enrolling import Enrolling, enrolling_of
from troth.assembly.mint import Mint
from troth.assembly.vantages import reaching
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.accounts import AccountDesk, AccountRules
from troth.enroll.acme.attested import AttestedOrders, Devices
from troth.enroll.acme.attesting import AttestationDesk
from troth.enroll.acme.caa_recheck import CaaRecheck
from troth.enroll.acme.chaos import Chaos, chaos_of
from troth.enroll.acme.device_admission import DeviceAdmission
from troth.enroll.acme.direct import Direct
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.nonce import NonceMap
from troth.enroll.acme.orders import OrderDesk, OrderRules
from troth.enroll.acme.preauthorization import PreAuthorizations
from troth.enroll.acme.renewal import Renewals
from troth.enroll.acme.results import Results
from troth.enroll.acme.revoke import RevocationDesk
from troth.enroll.acme.routes import AcmeDoor, Desks
from troth.enroll.acme.standing import StandingProofs
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.validate.beside import Beside
from troth.enroll.acme.validate.network import listener
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.validate.validator import build_validating, quick_validating
from troth.enroll.acme.validation import ValidationJobs
from troth.enroll.issuance import Issuance
from troth.enroll.tpm.store import TpmStore
from troth.kit.acme_settings import AcmeSettings
from troth.kit.attest_settings import AttestSettings, DirectoryAttestation
from troth.store.pool import Database
from troth.trust.subjects.store import SubjectStore


def acme_door(
    context: RoleContext, database: Database, mint: Mint, issuance: Issuance, enrolling: Enrolling
) -> AcmeDoor:
    """The door, for a web process."""
    settings, clock = context.config.acme, context.clock
    keys, chaos = AccountKeys(), chaos_in(context, mint)
    devices = Devices(SubjectStore(database.lookups), enrolling.enrolments, TpmStore(database))
    attestations = attestations_of(context, database, mint.catalogue)
    admission = DeviceAdmission(database, devices, issuance)
    lifetime = timedelta(seconds=settings.authorization_lifetime_seconds)
    looking = quick_validating(settings, reaching(context.layout, clock))
    standing = StandingProofs(looking, clock, lifetime, AccountStore(database.lookups).former_thumbprints)
    caa = CaaRecheck(looking, clock)
    beside = Beside(context.layout.validation_socket)
    renewals = Renewals(database, mint.catalogue, clock, strict=settings.strict_replaces)
    lately = Lately(clock)
    orders = OrderDesk(
        database,
        clock,
        order_rules(settings),
        enrolling.admission,
        renewals,
        admission,
        standing,
        chaos=chaos,
        lately=lately,
    )
    desks = Desks(
        accounts=AccountDesk(database, clock, account_rules(settings), enrolling.enrolments, enrolling.meters),
        orders=orders,
        finalizer=Finalizer(
            database, clock, issuance, enrolling.admission, AttestedOrders(attestations.store, devices), caa, lately
        ),
        revocations=RevocationDesk(database, clock),
        results=Results(database),
        store=AcmeStore(database.lookups),
        catalogue=mint.catalogue,
        renewals=renewals,
        attesting=AttestationDesk(database, clock, orders, attestations, devices, issuance),
        preauthorizations=PreAuthorizations(database, clock, order_rules(settings), enrolling.admission),
        preferred_chain=settings.preferred_chain,
        # With further vantage points a validation takes longer than a client is kept waiting.
        lately=lately,
        direct=None if settings.vantages else Direct(orders, beside, validation_jobs(context, database, orders)),
    )
    meta = {"termsOfService": settings.terms_url, "website": settings.website_url}
    return AcmeDoor(
        context.state.public_url,
        directories(settings, context.config.attest),
        desks,
        NonceMap(context.layout.nonces, clock=clock),
        keys,
        meta={name: value for name, value in meta.items() if value},
        secrets=enrolling.enrolments,
        chaos=chaos,
    )


def directories(settings: AcmeSettings, attest: AttestSettings) -> dict[str, Directory]:
    """The directories, from the settings."""
    return {
        name: Directory(
            name,
            one.profiles,
            one.requires,
            one.challenges,
            one.identifiers,
            attesting_of(attest.directories.get(name, DirectoryAttestation())),
            subdomains=one.subdomains,
            pre_authorization=one.pre_authorization,
            caa=one.caa,
            issuers=tuple(domain.lower() for domain in settings.issuer_domains),
            plain_uris=settings.persist_account_urls,
        )
        for name, one in settings.directories.items()
    }


def chaos_in(context: RoleContext, mint: Mint) -> Chaos:
    """Test mode, from the settings. Raises TestModeRefused."""
    ours = [one.trial for one in mint.catalogue.authorities.values() if one.key_id is not None]
    return chaos_of(context.config.acme_test, ours)


def validator_of(context: RoleContext, mint: Mint) -> Validating:
    """What a worker holds challenges against the network with."""
    settings = context.config.acme
    own = [one for address in context.state.listeners.values() for one in listener(address.host, address.port)]
    return chaos_in(context, mint).validating(
        build_validating(settings, own_listeners=own, reaching=reaching(context.layout, context.clock))
    )


def validation_jobs(
    context: RoleContext, database: Database, orders: OrderDesk | None = None, validator: Validating | None = None
) -> ValidationJobs:
    """The validations: for a worker process, or with ``orders`` and without ``validator`` for who only writes what
    they come to."""
    settings = context.config.acme
    return ValidationJobs(
        database,
        orders or OrderDesk(database, context.clock, order_rules(settings), enrolling_of(context, database).admission),
        validator,
        context.clock,
        directories(settings, context.config.attest),
        base=context.state.public_url,
        attempts=settings.attempts,
        retry_after=timedelta(seconds=settings.retry_seconds),
    )


def account_rules(settings: AcmeSettings) -> AccountRules:
    """What accounts must bring, from the settings."""
    domains = tuple(domain.lower() for domain in settings.contact_domains)
    return AccountRules(settings.contact_required, domains, settings.terms_url)


def order_rules(settings: AcmeSettings) -> OrderRules:
    """Bounds of orders, from the settings."""
    return OrderRules(
        timedelta(seconds=settings.order_lifetime_seconds),
        timedelta(seconds=settings.authorization_lifetime_seconds),
        settings.max_names,
    )
