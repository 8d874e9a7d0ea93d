"""Shards, deltas and large CRLs on a real PostgreSQL, held against what a naive list would say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.status.test_openssl import run
from tests.support.mint import Mint
from troth.kit.ids import new_id
from troth.pki import crl_buffer
from troth.pki.crl import CrlPublisher
from troth.pki.crl_der import entries_of
from troth.pki.crl_settings import set_crls
from troth.pki.crl_store import CrlStore
from troth.pki.errors import CrlRefused
from troth.pki.model import Crl
from troth.pki.pem import pem
from troth.pki.revocation import OfCertificate, hold, release, revoke
from troth.store.errors import LeaseLost
from troth.store.lease import Leases
from troth.store.unit import Unit

HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
Listed = dict[int, x509.ReasonFlags | None]


def publisher(mint: Mint) -> CrlPublisher:
    return CrlPublisher(mint.database, mint.signer, mint.catalogue, mint.interlock, mint.clock)


def listed(mint: Mint, crl: Crl) -> Listed:
    """Serial number → reason; the signature is verified."""
    parsed = x509.load_der_x509_crl(crl.der)
    key = mint.issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert parsed.is_signature_valid(key)
    assert (len(crl.der), len(parsed)) == (crl.size, crl.entries)
    number = parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number == crl.number
    found: Listed = {}
    for entry in parsed:
        reasons = [e.value.reason for e in entry.extensions if isinstance(e.value, x509.CRLReason)]
        found[entry.serial_number] = reasons[0] if reasons else None
    return found


async def issue(mint: Mint, **changes: object) -> tuple[UUID, int]:
    made = await mint.gate.issue(mint.request(str(new_id()), **changes))
    return made.id, int.from_bytes(made.serial, "big")


async def change(mint: Mint, how: str, certificate_id: UUID) -> None:
    target, at = OfCertificate(certificate_id), mint.clock.now()
    if how == "revoke":
        unit = revoke(Unit(), target, reason=4, actor="a", at=at)
    elif how == "hold":
        unit = hold(Unit(), target, cause="edr", actor="a", at=at)
    else:
        unit = release(Unit(), target, cause="edr", actor="a", at=at)
    await mint.database.commit(unit)


async def newest(mint: Mint, kind: str = "full", shard: int = 0) -> Crl:
    found = await CrlStore(mint.database).newest("issuing", shard, kind)  # type: ignore[arg-type]
    assert found is not None
    return found


async def test_each_certificate_is_listed_in_the_shard_that_it_names(
    mint: Mint, program: Callable[[str], Path], tmp_path: Path
) -> None:
    before, _ = await issue(mint)
    await set_crls(mint.database, mint.catalogue, "issuing", shards=3, deltas=False, actor="admin:a")
    ids, shards = [before], set[int]()
    while len(shards) < 3 or len(ids) < 9:
        certificate_id, serial = await issue(mint)
        ids.append(certificate_id)
        shards.add(serial % 3)
    for certificate_id in ids[:-1]:
        await change(mint, "revoke", certificate_id)
    maker = publisher(mint)
    crls = [await maker.publish("issuing", shard) for shard in range(3)]
    rows = await mint.database.fetch("SELECT id, serial, der, crl_shard FROM certificate WHERE profile = 'tls-server'")
    assert {row["crl_shard"] for row in rows} == {0, 1, 2}
    at = str(int(mint.clock.now().timestamp()))
    (tmp_path / "root").write_bytes(mint.root.public_bytes(Encoding.PEM))
    (tmp_path / "issuer").write_bytes(mint.issuer.public_bytes(Encoding.PEM))
    for row in rows:
        certificate = x509.load_der_x509_certificate(row["der"])
        point = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0].full_name
        for shard, crl in enumerate(crls):
            parsed = x509.load_der_x509_crl(crl.der)
            limit = parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
            assert limit.critical
            here = shard == row["crl_shard"]
            assert (limit.value.full_name == point) is here
            assert (certificate.serial_number in listed(mint, crl)) is (here and row["id"] != ids[-1])
            # A verifier takes the shard's own CRL, and no other in its place.
            (tmp_path / "crl").write_bytes(pem(crl.der, "X509 CRL"))
            (tmp_path / "leaf").write_bytes(pem(row["der"]))
            code, output = await run(
                program("openssl"), "verify", "-crl_check", "-attime", at, "-CRLfile", tmp_path / "crl",
                "-CAfile", tmp_path / "root", "-untrusted", tmp_path / "issuer", tmp_path / "leaf",
            )  # fmt: skip
            if here and row["id"] == ids[-1]:
                assert code == 0, output
            else:
                assert code != 0
                assert ("certificate revoked" in output) is here, output


async def test_shards_are_only_raised(mint: Mint) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=3, deltas=False, actor="admin:a")
    for wrong in (2, 257):
        with pytest.raises(CrlRefused):
            await set_crls(mint.database, mint.catalogue, "issuing", shards=wrong, deltas=False, actor="admin:a")
    assert mint.catalogue.authority("issuing").crl_shards == 3


async def test_a_release_is_in_the_delta_if_base_or_a_delta_since_showed_the_hold(mint: Mint) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=1, deltas=True, actor="admin:a")
    (in_base, base_serial), (in_delta, delta_serial), (unseen, _) = [await issue(mint) for _ in range(3)]
    maker = publisher(mint)
    await change(mint, "hold", in_base)
    await maker.publish("issuing")
    await change(mint, "hold", in_delta)
    assert listed(mint, await maker.publish_delta("issuing")) == {delta_serial: HOLD}
    await change(mint, "release", in_base)
    await change(mint, "release", in_delta)
    await change(mint, "hold", unseen)
    await change(mint, "release", unseen)
    for fresh in (maker, publisher(mint)):
        assert listed(mint, await fresh.publish_delta("issuing")) == {base_serial: REMOVED, delta_serial: REMOVED}
    # With the next base the delta of its number still helps who has the base before; then all is forgotten.
    full = await maker.publish("issuing")
    beside = await newest(mint, "delta")
    assert (listed(mint, full), beside.number) == ({}, full.number)
    assert listed(mint, beside) == {base_serial: REMOVED, delta_serial: REMOVED}
    assert listed(mint, await maker.publish_delta("issuing")) == {}
    await maker.publish("issuing")
    assert await mint.database.fetchval("SELECT count(*) FROM crl_change") == 0


async def test_a_delta_names_its_base_critically_and_the_base_where_deltas_are(mint: Mint) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=2, deltas=True, actor="admin:a")
    maker = publisher(mint)
    with pytest.raises(CrlRefused) as caught:
        await maker.publish_delta("issuing", 1)
    assert caught.value.code == "pki.crl.no_base"
    full, delta = await maker.publish("issuing", 1), await maker.publish_delta("issuing", 1)
    base, changes = x509.load_der_x509_crl(full.der), x509.load_der_x509_crl(delta.der)
    freshest = base.extensions.get_extension_for_class(x509.FreshestCRL)
    assert freshest.value[0].full_name == [x509.UniformResourceIdentifier("http://pki.test/crl/issuing/1-delta.crl")]
    assert not freshest.critical
    indicator = changes.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (indicator.critical, indicator.value.crl_number) == (True, full.number)
    assert delta.number > full.number
    points = [one.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value for one in (base, changes)]
    assert points[0] == points[1]
    with pytest.raises(x509.ExtensionNotFound):
        changes.extensions.get_extension_for_class(x509.FreshestCRL)


async def test_another_cut_makes_a_new_base(mint: Mint) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=1, deltas=True, actor="admin:a")
    maker = publisher(mint)
    await maker.publish("issuing")
    await set_crls(mint.database, mint.catalogue, "issuing", shards=2, deltas=True, actor="admin:a")
    with pytest.raises(CrlRefused):
        await maker.publish_delta("issuing")
    full = await maker.publish("issuing")
    assert await CrlStore(mint.database).newest("issuing", 0, "delta") is None, "no delta from one scope to another"
    assert (await maker.publish_delta("issuing")).base_number == full.number


async def test_openssl_follows_a_base_and_its_delta(mint: Mint, program: Callable[[str], Path], tmp_path: Path) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=2, deltas=True, actor="admin:a")
    certificate_id, _ = await issue(mint)
    row = await mint.database.fetchrow("SELECT der, crl_shard FROM certificate WHERE id = $1", certificate_id)
    assert row is not None
    shard, maker = row["crl_shard"], publisher(mint)
    files = {name: tmp_path / name for name in ("root", "issuer", "leaf", "base", "delta", "both")}
    files["root"].write_bytes(mint.root.public_bytes(Encoding.PEM))
    files["issuer"].write_bytes(mint.issuer.public_bytes(Encoding.PEM))
    files["leaf"].write_bytes(pem(row["der"]))
    base = await maker.publish("issuing", shard)
    files["base"].write_bytes(pem(base.der, "X509 CRL"))

    async def good() -> bool:
        delta = await maker.publish_delta("issuing", shard)
        files["delta"].write_bytes(pem(delta.der, "X509 CRL"))
        files["both"].write_bytes(files["base"].read_bytes() + files["delta"].read_bytes())
        code, output = await run(
            program("openssl"), "crl", "-verify", "-in", files["delta"], "-CAfile", files["issuer"]
        )
        assert "verify OK" in output, output
        at = str(int(mint.clock.now().timestamp()))
        code, output = await run(
            program("openssl"), "verify", "-crl_check", "-use_deltas", "-extended_crl", "-attime", at,
            "-CRLfile", files["both"], "-CAfile", files["root"], "-untrusted", files["issuer"], files["leaf"],
        )  # fmt: skip
        assert code == 0 or "certificate revoked" in output, output
        return code == 0

    assert await good()
    await change(mint, "hold", certificate_id)
    assert not await good()
    await change(mint, "release", certificate_id)
    assert await good()
    await change(mint, "revoke", certificate_id)
    assert not await good()


async def test_a_certificate_without_revocation_information_is_in_no_crl(mint: Mint) -> None:
    certificate_id, _ = await issue(mint)
    await mint.database.fetch("UPDATE certificate SET no_rev_avail = true WHERE id = $1", certificate_id)
    await change(mint, "hold", certificate_id)
    assert await mint.database.fetchval("SELECT count(*) FROM crl_change") == 0
    assert listed(mint, await publisher(mint).publish("issuing")) == {}


async def test_a_change_writes_its_run_and_leaves_the_others(mint: Mint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_buffer.CrlBuffer.__init__, "__kwdefaults__", {"run": 2, "most": 4})
    made = [await issue(mint) for _ in range(10)]
    for certificate_id, _ in made[:-1]:
        await change(mint, "revoke", certificate_id)
    maker = publisher(mint)
    await maker.publish("issuing")
    first = await mint.database.fetchval("SELECT chunks FROM crl_issue ORDER BY number DESC LIMIT 1")
    await change(mint, "revoke", made[-1][0])
    crl = await maker.publish("issuing", scheduled=False)
    second = await mint.database.fetchval("SELECT chunks FROM crl_issue ORDER BY number DESC LIMIT 1")
    assert len(first) > 3
    assert (len(set(first) & set(second)), len(second)) == (len(first) - 1, len(first))
    assert listed(mint, crl).keys() == {serial for _, serial in made}
    # Who knows nothing of the runs loads them, and goes on from there.
    again = await publisher(mint).publish("issuing", scheduled=False)
    assert again.parts[1:-1] == crl.parts[1:-1]
    for _ in range(6):
        await maker.publish("issuing", scheduled=False)
    kept = await mint.database.fetch("SELECT id FROM crl_chunk")
    assert {row["id"] for row in kept} == set(second), "what only older CRLs were made of is gone"


class Naive:
    """What RFC 5280 wants listed, kept as a plain dictionary."""

    def __init__(self) -> None:
        self.status: dict[UUID, str] = {}
        self.serial: dict[UUID, int] = {}
        self.base: Listed = {}
        self.base_number = 0
        self.shown: set[int] = set()

    def now(self) -> Listed:
        reasons = {"held": HOLD, "revoked": x509.ReasonFlags.superseded}
        return {self.serial[one]: reasons[status] for one, status in self.status.items() if status != "good"}


STEPS = st.lists(
    st.tuples(st.sampled_from(["issue", "hold", "release", "revoke", "full", "delta", "restart"]), st.integers(0, 5)),
    min_size=8,
    max_size=14,
)


@settings(
    max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(steps=STEPS)
async def test_base_and_delta_together_are_the_complete_crl(mint: Mint, steps: list[tuple[str, int]]) -> None:
    for row in await mint.database.fetch("SELECT id FROM certificate"):
        await mint.database.fetch("DELETE FROM certificate WHERE id = $1", row["id"])
    await mint.database.fetch("TRUNCATE crl_change, crl_issue, crl_shard, crl_chunk")
    await set_crls(mint.database, mint.catalogue, "issuing", shards=1, deltas=True, actor="a")
    model, maker = Naive(), publisher(mint)
    numbers: list[int] = []
    for what, which in [("issue", 0), ("issue", 0), ("full", 0), *steps, ("full", 0)]:
        chosen = list(model.status)[which % len(model.status)] if model.status else None
        if what == "issue":
            certificate_id, serial = await issue(mint)
            model.status[certificate_id], model.serial[certificate_id] = "good", serial
        elif what == "restart":
            maker = publisher(mint)
        elif what == "full":
            full = await maker.publish("issuing", scheduled=bool(which % 2))
            assert listed(mint, full) == model.now()
            if model.base_number:
                _check_delta(mint, model, await newest(mint, "delta"))
            model.base, model.base_number, model.shown = model.now(), full.number, set(model.now())
            numbers.append(full.number)
        elif what == "delta":
            delta = await maker.publish_delta("issuing")
            _check_delta(mint, model, delta)
            numbers.append(delta.number)
            model.shown |= set(model.now())
        elif chosen is not None:
            present = model.status[chosen]
            if present != "revoked" and (what != "release" or present == "held"):
                await change(mint, what, chosen)
                model.status[chosen] = {"hold": "held", "release": "good", "revoke": "revoked"}[what]
    assert numbers == sorted(set(numbers))


def _check_delta(mint: Mint, model: Naive, delta: Crl) -> None:
    entries = listed(mint, delta)
    assert delta.base_number == model.base_number
    combined = dict(model.base)
    for serial, reason in entries.items():
        if reason is REMOVED:
            assert serial in model.shown, "only what the base, or a CRL since, has shown"
            combined.pop(serial, None)
        else:
            combined[serial] = reason
    assert combined == model.now()
    gone = model.shown - set(model.now())
    assert {serial for serial, reason in entries.items() if reason is REMOVED} == gone, "and all of that"


@pytest.mark.chaos
async def test_a_lapsed_lease_publishes_nothing(mint: Mint) -> None:
    first, second = (Leases(mint.database, mint.clock, new_id(), seconds=seconds) for seconds in (0.0, 60.0))
    stale = (await first.acquire(["crl:issuing:0"]))["crl:issuing:0"]
    held = (await second.acquire(["crl:issuing:0"]))["crl:issuing:0"]
    assert held.epoch == stale.epoch + 1
    slow, quick = publisher(mint), publisher(mint)
    with pytest.raises(LeaseLost):
        await slow.publish("issuing", held=stale)
    assert await CrlStore(mint.database).published() == []
    made = await quick.publish("issuing", held=held)
    with pytest.raises(LeaseLost):
        await slow.publish("issuing", held=stale)
    assert (await newest(mint)).number == made.number


def test_entries_are_found_in_a_run() -> None:
    from troth.pki.crl_der import crl_entry
    from troth.pki.serial import SerialNumber

    at = datetime(2026, 6, 1).astimezone()
    serials = [b"\x05", b"\x7f" * 20, b"\x00\x81"]
    made = [crl_entry(SerialNumber(serial), at + timedelta(days=9000 * n), n) for n, serial in enumerate(serials)]
    assert list(entries_of(b"".join(made))) == list(zip(serials, made, strict=True))
