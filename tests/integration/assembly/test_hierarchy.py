"""The authorities of a first start, of one that was cut short, and of an installation from before issuer classes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.integration.pki.test_signer_process import SignerProcess
from tests.support.mint import ca_certificate
from tests.support.signing import authority_certificate
from troth.assembly.hierarchy import ensure_hierarchy
from troth.assembly.hierarchy_store import COMPLETE
from troth.assembly.layout import Layout
from troth.assembly.names import ISSUING, ROOT
from troth.assembly.state import State
from troth.kit.clock import SystemClock
from troth.pki import birth
from troth.pki.catalogue import Catalogue
from troth.pki.crl_store import CrlStore
from troth.pki.issuer_classes import EVERY, IssuerClass
from troth.pki.keys.model import KeyPurpose
from troth.pki.profile import shipped_profiles
from troth.store.migrate import migrate, migrations
from troth.store.pool import Database

CLASSES = [one.value for one in IssuerClass]
STATE = State(listeners={}, public_url="https://pki.example", public_http_url="http://pki.example", admin_url="")


class Start:
    """What a first start has: a data directory, its signer, its database."""

    def __init__(self, layout: Layout, process: SignerProcess, database: Database) -> None:
        self.layout = layout
        self.process = process
        self.database = database

    async def ensure(self) -> Catalogue:
        """Make what is missing, and read what there is then."""
        socket = self.layout.root / "s.sock"
        await ensure_hierarchy(self.database, self.layout, STATE, SystemClock(), socket=socket)
        return await self.read()

    async def read(self) -> Catalogue:
        catalogue = Catalogue(self.database, SystemClock())
        await catalogue.refresh()
        return catalogue

    async def complete(self) -> bool:
        return bool(await self.database.fetchval(COMPLETE, ROOT, CLASSES))


@pytest.fixture
async def start(tmp_path: Path, database_url: str) -> AsyncIterator[Start]:
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    process = SignerProcess(layout.root)
    await process.start()
    database = await Database.open(database_url, clock=SystemClock())
    yield Start(layout, process, database)
    await database.close()
    await process.kill()


async def test_a_first_start_makes_a_root_and_an_authority_for_each_class_each_with_its_own_key(start: Start) -> None:
    assert not await start.complete()
    catalogue = await start.ensure()
    assert await start.complete()
    authorities = catalogue.authorities
    assert {slug: one.issuer_classes for slug, one in authorities.items()} == {
        "root": (),
        "issuing": (IssuerClass.OPEN,),
        "people": (IssuerClass.PEOPLE,),
        "infrastructure": (IssuerClass.INFRASTRUCTURE,),
        "radius": (IssuerClass.RADIUS,),
    }
    async with start.process.client("setup") as setup:
        keys = {key.key_id: key for key in await setup.list_keys(KeyPurpose.ISSUING)}
    assert len(keys) == len({one.key_id for one in authorities.values() if one.key_id}) == len(ISSUING)
    for one in authorities.values():
        if one.key_id is not None:
            one.x509.verify_directly_issued_by(authorities["root"].x509)
            limits = keys[one.key_id].limits
            assert limits is not None
            assert limits.issuer_classes == one.issuer_classes
            assert one.urls.crl == f"http://pki.example/crl/{one.slug}.crl"
    assert (await CrlStore(start.database).newest(ROOT)) is not None


async def test_a_second_start_finds_everything_and_changes_nothing(start: Start) -> None:
    first = await start.ensure()
    start.layout.root_certificate.unlink()
    assert (await start.ensure()).authorities == first.authorities
    assert start.layout.root_certificate.exists()


async def test_a_start_cut_short_after_two_keys_goes_on_with_them(start: Start) -> None:
    async with start.process.client("setup") as setup:
        made = [(await setup.generate_key(KeyPurpose.ISSUING)).key_id for _ in range(2)]
    catalogue = await start.ensure()
    assert [catalogue.authority(slug).key_id for slug in ("issuing", "people")] == made


async def test_a_start_cut_short_after_the_birth_goes_on_with_what_was_born(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from troth.pki.signer.client import SignerClient

    async def dark(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SignerClient, "attach_authority", dark)
    with pytest.raises(KeyboardInterrupt):
        await start.ensure()
    monkeypatch.undo()
    born = birth.recorded(start.layout.root)
    assert born is not None
    catalogue = await start.ensure()
    assert {one.slug: one.certificate for one in born.issuing} == {
        slug: one.certificate for slug, one in catalogue.authorities.items() if slug != "root"
    }


async def test_an_installation_from_before_issuer_classes_goes_on_with_its_one_authority(
    empty_database_url: str, tmp_path: Path
) -> None:
    # What the former version left: its schema, its rows, its record of the birth, its key without classes.
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    process = SignerProcess(layout.root)
    await process.start()
    try:
        async with process.client("setup") as setup:
            key = await setup.generate_key(KeyPurpose.ISSUING)
            now = datetime.now(UTC)
            issuing = authority_certificate(key.public_key, now)
            key = await setup.attach_authority(key.key_id, issuing)
        await process.kill()
        _as_former_version_wrote_it(layout.keys / f"{key.key_id}.json")
        from cryptography.hazmat.primitives.asymmetric import ec

        root = ca_certificate(ec.generate_private_key(ec.SECP256R1()), "Former Root", now).public_bytes(Encoding.DER)
        await _former_rows(empty_database_url, root, issuing, key.key_id)
        (layout.root / "birth.json").write_bytes(
            msgspec.json.encode(
                {
                    "type": "birth",
                    "root_certificate": root,
                    "issuing_certificate": issuing,
                    "root_crl": b"",
                    "issuing_spki": key.public_key,
                    "mark": birth.MARK,
                    "sealed_key": "",
                    "passphrase": "",
                    "findings": [],
                }
            )
        )
        await process.start()
        await migrate(empty_database_url)
        database = await Database.open(empty_database_url, clock=SystemClock())
        try:
            start = Start(layout, process, database)
            assert await start.complete()
            catalogue = await start.ensure()  # root.pem is missing: what is there is found, nothing is made
            assert set(catalogue.authorities) == {"root", "issuing"}
            for document in shipped_profiles().values():
                await catalogue.apply_profile(document, actor="test")
            assert {catalogue.issuer_for(name).slug for name in catalogue.profiles if name != "ocsp-responder"} == {
                "issuing"
            }
            async with process.client("setup") as setup:
                (found,) = await setup.list_keys(KeyPurpose.ISSUING)
                assert found.limits is not None
                assert found.limits.issuer_classes == EVERY
        finally:
            await database.close()
    finally:
        await process.kill()


def _as_former_version_wrote_it(path: Path) -> None:
    """Seal the key file again without the fields that came with issuer classes."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    secret = (path.parents[1] / "secrets" / "keystore.secret").read_bytes()
    file = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    text = {name: msgspec.json.decode(file[name], type=bytes) for name in ("salt", "nonce", "ciphertext")}
    derivation = HKDF(hashes.SHA256(), length=32, salt=text["salt"], info=b"troth keystore: key file")
    cipher = AESGCM(derivation.derive(secret))
    plain = cipher.decrypt(text["nonce"], text["ciphertext"], b"troth-key-1" + bytes(file["metadata"]))
    metadata = msgspec.json.decode(file["metadata"])
    assert metadata["limits"].pop("issuer_classes") == list(EVERY)
    assert metadata["limits"].pop("name_constraints") is None
    encoded = msgspec.json.encode(metadata)
    sealed = cipher.encrypt(text["nonce"], plain, b"troth-key-1" + encoded)
    path.write_bytes(msgspec.json.encode(file | {"metadata": msgspec.Raw(encoded), "ciphertext": sealed}))


async def _former_rows(url: str, root: bytes, issuing: bytes, key_id: str) -> None:
    """Schema up to migration 7, and the rows that a first start then wrote."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "CREATE TABLE schema_migration (number int PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for one in migrations():
            if one.number <= 7:
                await connection.execute(one.sql)
                await connection.execute(
                    "INSERT INTO schema_migration (number, name, sha256) VALUES ($1, $2, $3)",
                    one.number, one.name, one.sha256,
                )  # fmt: skip
        for slug, parent, der, key in (("root", None, root, None), ("issuing", "root", issuing, key_id)):
            await connection.execute(
                """INSERT INTO authority (slug, name, kind, parent, certificate, sha256, key_id, state, trial,
                       ca_issuers_url, ocsp_url, crl_url, not_after, created_at, actor)
                   VALUES ($1, $1, $2, $3, $4, $5, $6, 'active', true, 'http://pki.example/a',
                       'http://pki.example/b', 'http://pki.example/c', now() + interval '1 year', now(), 'system')""",
                slug, "issuing" if parent else "root", parent, der, hashlib.sha256(der).digest(), key,
            )  # fmt: skip
        await connection.execute(
            """INSERT INTO crl (authority, number, state, tbs_sha256, this_update, next_update, der, sha256, entries,
                   reserved_at)
               VALUES ('root', 1, 'published', 'x', now(), now() + interval '1 year', 'x', 'x', 0, now())"""
        )
    finally:
        await connection.close()
