"""The authorities of a fresh installation: a root, born as far offline as one machine allows, and four that issue.

One for each issuer class (:mod:`troth.pki.issuer_classes`). Their keys are made in the signer and never leave it. The
root is born in a child process that exits (:mod:`troth.pki.birth`); what it leaves behind is sealed, marked as trial,
and wants to be moved away. Every step can be repeated: a start that was cut short is taken up by the next one, with
the same keys. An installation from before there were classes keeps its one authority, which serves all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from socket import gethostname

import msgspec
from cryptography import x509

from troth.assembly.layout import Layout
from troth.assembly.names import ISSUING, ROOT
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.kit.settings import SignerSettings
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.birth import Birth, BirthPlan, Unborn, give_birth, recorded
from troth.pki.birth_custody import settle
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.crl_import import import_crl
from troth.pki.crl_store import CrlStore
from troth.pki.issuer_classes import IssuerClasses
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.files import write_private
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.pem import pem
from troth.pki.profile import shipped_profiles
from troth.pki.signer.class_rules import bounds_of
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import BIRTH_DONE, BirthFailed
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.authoring.service import PolicyService

ACTOR = "system:first-start"
DEFAULTS = SignerSettings()


async def ensure_hierarchy(
    database: Database,
    layout: Layout,
    state: State,
    clock: Clock,
    settings: SignerSettings = DEFAULTS,
    *,
    socket: Path,
) -> None:
    """Make what is missing of the authorities, the root's CRL and its certificate's file; ``socket`` is the signer's.

    Raises BirthFailed.
    """
    async with SignerClient(socket, "setup", layout.secrets) as signer:
        born = recorded(layout.root)
        if born is None:
            born = await give_birth(_plan(await _issuing_keys(signer, settings), layout, state))
        settle(layout.root)
        keys = await _attached(signer, born, state)
    known = {authority.slug for authority in await AuthorityStore(database).authorities()}
    authorities = _authorities(born, keys, state, clock)
    await _add(database, known, authorities)
    if await CrlStore(database).newest(ROOT) is None:
        await import_crl(database, authorities[0], born.root_crl, clock)
    if not layout.root_certificate.exists():
        write_private(layout.root_certificate, pem(born.root_certificate), mode=0o644)


async def ensure_documents(database: Database, catalogue: Catalogue, clock: Clock) -> None:
    """Apply the shipped profiles and policies that have no version yet; what people applied is left alone."""
    for name, document in shipped_profiles().items():
        if name not in catalogue.profiles:
            await catalogue.apply_profile(document, actor=ACTOR)
    await PolicyService(database, clock).apply_shipped(actor=ACTOR)


async def _issuing_keys(signer: SignerClient, settings: SignerSettings) -> list[KeyMetadata]:
    """A key for each authority: those that an earlier, unfinished start made, and new ones for the rest."""
    keys = [key for key in await signer.list_keys(KeyPurpose.ISSUING) if key.certificate is None]
    while len(keys) < len(ISSUING):
        algorithm = KeyAlgorithm(settings.issuing_algorithm)
        keys.append(await signer.generate_key(KeyPurpose.ISSUING, algorithm, settings.issuing_custodian))
    return keys[: len(ISSUING)]


async def _attached(signer: SignerClient, born: Birth, state: State) -> dict[str, KeyMetadata]:
    """The keys of the born authorities by slug, each bound to its certificate and its classes."""
    present = {key.public_key: key for key in await signer.list_keys(KeyPurpose.ISSUING)}
    keys = {}
    for one in born.issuing:
        key = present.get(one.spki)
        if key is None:
            raise BirthFailed(BIRTH_DONE, f"the signer does not hold the key of authority {one.slug}")
        if key.certificate is None:
            bounds = msgspec.structs.replace(bounds_of(one.issuer_classes), crl_url=_urls(state, one.slug)[1])
            await signer.attach_authority(key.key_id, one.certificate, bounds)
        keys[one.slug] = key
    return keys


def _plan(keys: list[KeyMetadata], layout: Layout, state: State) -> BirthPlan:
    urls = _urls(state, ROOT)
    return BirthPlan(
        data=str(layout.root),
        installation=gethostname().partition(".")[0][:40] or "Troth",
        organisation="Troth trial installation",
        issuing=tuple(
            Unborn(one.slug, one.name, (one.issuer_class,), key.public_key)
            for one, key in zip(ISSUING, keys, strict=True)
        ),
        root_certificate_url=urls[0],
        root_crl_url=urls[1],
    )


def _urls(state: State, slug: str) -> tuple[str, str, str]:
    """(CA certificate, CRL, OCSP) URLs of an authority."""
    base = state.public_http_url
    return f"{base}/ca/{slug}.cer", f"{base}/crl/{slug}.crl", f"{base}/ocsp/{slug}"


def _authorities(born: Birth, keys: Mapping[str, KeyMetadata], state: State, clock: Clock) -> list[Authority]:
    """The root first."""
    rows: list[tuple[str, bytes, str | None, IssuerClasses]] = [(ROOT, born.root_certificate, None, ())]
    rows += [(one.slug, one.certificate, ROOT, one.issuer_classes) for one in born.issuing]
    found = []
    for slug, der, parent, classes in rows:
        ca_issuers, crl, ocsp = _urls(state, slug)
        key = keys.get(slug)
        found.append(
            Authority(
                slug=slug,
                name=_common_name(der),
                kind="root" if parent is None else "issuing",
                parent=parent,
                certificate=der,
                key_id=None if key is None else key.key_id,
                state="active",
                trial=True,
                ca_issuers_url=ca_issuers,
                ocsp_url=None if key is None else ocsp,
                crl_url=crl,
                created_at=clock.now(),
                issuer_classes=classes,
            )
        )
    return found


async def _add(database: Database, known: set[str], authorities: list[Authority]) -> None:
    unit = Unit()
    for authority in authorities:
        if authority.slug not in known:
            add_authority(unit, authority, actor=ACTOR)
    await database.commit(unit)


def _common_name(der: bytes) -> str:
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
