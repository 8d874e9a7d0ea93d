"""The authorities of a fresh installation: a root, born as far offline as one machine allows, and one that issues.

The issuing key is made in the signer and never leaves it. The root is born in a child process that exits
(:mod:`troth.pki.birth`); what it leaves behind is sealed, marked as trial, and wants to be moved away. Every step can
be repeated: a start that was cut short is taken up by the next one, with the same keys.
"""

from __future__ import annotations

import socket

from cryptography import x509

from troth.assembly.layout import Layout
from troth.assembly.names import ISSUING, ROOT
from troth.assembly.state import State
from troth.kit.clock import Clock
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.birth import Birth, BirthPlan, give_birth
from troth.pki.catalogue import Catalogue, add_authority
from troth.pki.crl import import_crl
from troth.pki.crl_store import CrlStore
from troth.pki.keys.files import write_private
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.pem import pem
from troth.pki.profile import shipped_profiles
from troth.pki.signer.client import SignerClient
from troth.store.pool import Database
from troth.store.unit import Unit
from troth.trust.policy_service import PolicyService

ACTOR = "system:first-start"


async def ensure_hierarchy(database: Database, layout: Layout, state: State, clock: Clock) -> None:
    """Make what is missing of the authorities, the root's CRL and its certificate's file."""
    async with SignerClient(layout.signer_socket, "setup", layout.secrets) as signer:
        key = await _issuing_key(signer)
        born = await give_birth(_plan(key, layout, state))
        if key.certificate is None:
            await signer.attach_authority(key.key_id, born.issuing_certificate)
    known = {authority.slug for authority in await AuthorityStore(database).authorities()}
    authorities = _authorities(born, key, state, clock)
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


async def _issuing_key(signer: SignerClient) -> KeyMetadata:
    """The issuing key: the one that an earlier, unfinished start made, or a new one."""
    keys = await signer.list_keys(KeyPurpose.ISSUING)
    return keys[0] if keys else await signer.generate_key(KeyPurpose.ISSUING)


def _plan(key: KeyMetadata, layout: Layout, state: State) -> BirthPlan:
    urls = _urls(state, ROOT)
    return BirthPlan(
        data=str(layout.root),
        installation=socket.gethostname().partition(".")[0][:40] or "Troth",
        organisation="Troth trial installation",
        issuing_spki=key.public_key,
        root_certificate_url=urls[0],
        root_crl_url=urls[1],
    )


def _urls(state: State, slug: str) -> tuple[str, str, str]:
    """(CA certificate, CRL, OCSP) URLs of an authority."""
    base = state.public_http_url
    return f"{base}/ca/{slug}.cer", f"{base}/crl/{slug}.crl", f"{base}/ocsp/{slug}"


def _authorities(born: Birth, key: KeyMetadata, state: State, clock: Clock) -> list[Authority]:
    found = []
    for slug, der, parent, key_id in (
        (ROOT, born.root_certificate, None, None),
        (ISSUING, born.issuing_certificate, ROOT, key.key_id),
    ):
        ca_issuers, crl, ocsp = _urls(state, slug)
        found.append(
            Authority(
                slug=slug,
                name=_common_name(der),
                kind="root" if parent is None else "issuing",
                parent=parent,
                certificate=der,
                key_id=key_id,
                state="active",
                trial=True,
                ca_issuers_url=ca_issuers,
                ocsp_url=ocsp if key_id is not None else None,
                crl_url=crl,
                created_at=clock.now(),
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
