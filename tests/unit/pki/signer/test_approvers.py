"""The signer as the last judge: what a taken-over web process gets with the web secret, which is nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.authenticator import Authenticator
from tests.support.signing import authority_certificate
from troth.access.approvals.model import Act, approval_challenge
from troth.kit.clock import FakeClock
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.signer import acts
from troth.pki.signer.approvers import Judge
from troth.pki.signer.approvers_protocol import Proof
from troth.pki.signer.client import SignerClient
from troth.pki.signer.errors import ApproversUnsafe, SignerRefused
from troth.pki.signer.protocol import Bounds
from troth.pki.signer.server import SignerSettings, serve

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RP, ORIGIN = "pki.example", "https://pki.example:8444"
WIDE = Bounds(allow_ca=True)


@dataclass
class Running:
    settings: SignerSettings
    clock: FakeClock

    def client(self, role: str) -> SignerClient:
        return SignerClient(self.settings.socket, role, self.settings.data / "secrets", timeout=120.0)


@pytest.fixture
async def signer(tmp_path: Path) -> AsyncIterator[Running]:
    clock = FakeClock(NOW)
    settings = SignerSettings(tmp_path / "data", tmp_path / "s.sock", "pki.example/ledger")
    ready = asyncio.Event()
    task = asyncio.create_task(serve(settings, ready.set, clock=clock))
    await asyncio.wait_for(ready.wait(), 120)
    yield Running(settings, clock)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def made(passkey: Authenticator, challenge: bytes, origin: str = ORIGIN) -> bytes:
    """What a browser answers when a passkey is made."""
    options = {"rp": {"id": RP}, "challenge": Authenticator.b64(challenge)}
    return json.dumps(passkey.create(options, origin)).encode()


def public_key(passkey: Authenticator) -> bytes:
    """The COSE key of a passkey."""
    import cbor2

    numbers = passkey.key.public_key().public_numbers()
    found: bytes = cbor2.dumps(
        {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    )
    return found


async def pinned(signer: Running, *names: str) -> dict[str, Authenticator]:
    """Passkeys of these persons, pinned by the setup role."""
    keys = {name: Authenticator() for name in names}
    async with signer.client("setup") as setup:
        for name, key in keys.items():
            challenge = await setup.ask_registration(name)
            await setup.pin_approver(name, "key", made(key, challenge), RP, [ORIGIN])
    return keys


async def proof(client: SignerClient, act: Act, passkey: Authenticator, *, origin: str = ORIGIN, rp: str = RP) -> Proof:
    """One approval of ``act``."""
    asked = await client.ask_approval(act)
    assert asked.act_hash == act.hash
    challenge = approval_challenge(asked.act_hash, asked.state_digest, asked.nonce)
    answer = passkey.get({"rpId": rp, "challenge": Authenticator.b64(challenge)}, origin)
    return Proof(asked.nonce, json.dumps(answer).encode())


async def proofs(client: SignerClient, act: Act, keys: Sequence[Authenticator]) -> list[Proof]:
    return [await proof(client, act, key) for key in keys]


async def code_of(call: Any) -> str:
    with pytest.raises(SignerRefused) as caught:
        await call
    return caught.value.code


async def key_for(signer: Running) -> tuple[KeyMetadata, bytes]:
    async with signer.client("setup") as setup:
        key = await setup.generate_key(KeyPurpose.ISSUING)
    return key, authority_certificate(key.public_key, NOW, path_length=1)


async def test_before_two_persons_are_pinned_a_first_start_goes_on_as_it_does(signer: Running) -> None:
    key, certificate = await key_for(signer)
    await pinned(signer, "ann")
    async with signer.client("setup") as setup:
        attached = await setup.attach_authority(key.key_id, certificate, WIDE)
    assert attached.limits is not None
    assert attached.limits.allow_ca


async def test_wider_limits_take_two_pinned_persons_and_default_ones_take_nobody(signer: Running) -> None:
    keys = await pinned(signer, "ann", "ben")
    key, certificate = await key_for(signer)
    act = acts.attach(key.key_id, certificate, WIDE)
    async with signer.client("setup") as setup:
        assert await code_of(setup.attach_authority(key.key_id, certificate, WIDE)) == "signer.approval.missing"
        one = await proofs(setup, act, [keys["ann"]])
        assert await code_of(setup.attach_authority(key.key_id, certificate, WIDE, proofs=one)) == (
            "signer.approval.missing"
        )
        twice = [*one, *await proofs(setup, act, [keys["ann"]])]
        assert await code_of(setup.attach_authority(key.key_id, certificate, WIDE, proofs=twice)) == (
            "signer.approval.missing"
        )
        both = await proofs(setup, act, [keys["ann"], keys["ben"]])
        other = Bounds(allow_ca=True, max_validity_seconds=10**9)
        assert await code_of(setup.attach_authority(key.key_id, certificate, other, proofs=both)) == (
            "signer.approval.invalid"
        )
        attached = await setup.attach_authority(key.key_id, certificate, WIDE, proofs=both)
        assert attached.limits is not None
        assert attached.limits.allow_ca
    plain, leaf = await key_for(signer)
    async with signer.client("setup") as setup:
        await setup.attach_authority(plain.key_id, leaf)


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(max_validity_seconds=399 * 86_400),
        Bounds(max_backdate_seconds=10 * 86_400),
        Bounds(max_crl_validity_seconds=400 * 86_400),
        Bounds(extended_key_usages=("1.3.6.1.5.5.7.3.3",)),
    ],
)
async def test_whatever_is_wider_than_the_default_limits_takes_approval(signer: Running, bounds: Bounds) -> None:
    await pinned(signer, "ann", "ben")
    key, certificate = await key_for(signer)
    async with signer.client("setup") as setup:
        assert await code_of(setup.attach_authority(key.key_id, certificate, bounds)) == "signer.approval.missing"


async def test_the_web_secret_registers_no_approver_and_fakes_no_approval(signer: Running) -> None:
    mallory = Authenticator()
    async with signer.client("web") as web:
        challenge = await web.ask_registration("mallory")
        response = made(mallory, challenge)
        # 1 While nobody is pinned: the founders are pinned by the setup role, not by the web.
        assert await code_of(web.pin_approver("mallory", "key", response, RP, [ORIGIN])) == "signer.role"
        assert await code_of(web.register_approver("mallory", "key", response, [])) == "signer.approver.refused"
    keys = await pinned(signer, "ann", "ben")
    async with signer.client("web") as web:
        # 2 With founders: a passkey of one's own, the founders' names, the founders' keys without their touch.
        challenge = await web.ask_registration("mallory")
        response = made(mallory, challenge)
        act = acts.add("mallory", "key", response, mallory.credential_id, public_key(mallory))
        own = await proofs(web, act, [mallory, mallory])
        assert await code_of(web.register_approver("mallory", "key", response, own)) == "signer.approval.invalid"
        assert await code_of(web.register_approver("mallory", "key", response, [])) == "signer.approval.missing"
        forged = Authenticator()
        forged.credential_id = keys["ann"].credential_id
        lies = await proofs(web, act, [forged])
        assert await code_of(web.register_approver("mallory", "key", response, lies)) == "signer.approval.invalid"
        # 3 A log-in or another approval of the founders, played back for this.
        elsewhere = acts.number(1)
        played = await proofs(web, elsewhere, [keys["ann"], keys["ben"]])
        assert await code_of(web.register_approver("mallory", "key", response, played)) == "signer.approval.invalid"
        # 4 What the web role has no business with.
        assert await code_of(web.generate_key(KeyPurpose.ISSUING)) == "signer.approval.missing"
        assert await code_of(web.generate_key(KeyPurpose.RADIUS)) == "signer.role"
        assert await code_of(web.remove_approver(keys["ann"].credential_id, [])) == "signer.approval.missing"
        assert await code_of(web.set_approvals(1, [])) == "signer.approval.missing"
        known = await web.approvers()
    assert ({one.person for one in known.approvers}, known.needed) == ({"ann", "ben"}, 2)
    async with signer.client("setup") as setup:
        # 5 Not even the setup role, once there are two.
        challenge = await setup.ask_registration("mallory")
        again = made(mallory, challenge)
        assert await code_of(setup.pin_approver("mallory", "key", again, RP, [ORIGIN])) == "signer.approver.refused"


async def test_the_web_secret_makes_and_binds_issuing_keys_with_approvals_alone_however_few_and_narrow(
    signer: Running,
) -> None:
    key, certificate = await key_for(signer)
    narrow = Bounds()
    async with signer.client("web") as web:
        # While nobody is pinned nobody can approve: what the setup role may do unasked, the web may not.
        assert await code_of(web.generate_key(KeyPurpose.ISSUING)) == "signer.approver.refused"
        assert await code_of(web.attach_authority(key.key_id, certificate, narrow)) == "signer.approver.refused"
    keys = list((await pinned(signer, "ann", "ben")).values())
    generate, attach = acts.generate("issuing", "p256"), acts.attach(key.key_id, certificate, narrow)
    async with signer.client("web") as web:
        assert await code_of(web.attach_authority(key.key_id, certificate, narrow)) == "signer.approval.missing"
        one = await proofs(web, generate, keys[:1])
        assert await code_of(web.generate_key(KeyPurpose.ISSUING, proofs=one)) == "signer.approval.missing"
        other = await proofs(web, attach, keys)
        assert await code_of(web.generate_key(KeyPurpose.ISSUING, proofs=other)) == "signer.approval.invalid"
        assert await code_of(web.attach_authority(key.key_id, certificate, WIDE, proofs=other)) == (
            "signer.approval.invalid"
        )
        attached = await web.attach_authority(key.key_id, certificate, narrow, proofs=other)
        assert attached.limits is not None
        made = await web.generate_key(KeyPurpose.ISSUING, proofs=await proofs(web, generate, keys))
        assert made.certificate is None


async def test_the_present_approvers_let_a_third_in_and_another_out(signer: Running) -> None:
    keys = await pinned(signer, "ann", "ben")
    cat = Authenticator()
    async with signer.client("web") as web:
        response = made(cat, await web.ask_registration("cat"))
        act = acts.add("cat", "phone", response, cat.credential_id, public_key(cat))
        both = await proofs(web, act, list(keys.values()))
        await web.register_approver("cat", "phone", response, both)
        gone = acts.remove(keys["ben"].credential_id)
        await web.remove_approver(keys["ben"].credential_id, await proofs(web, gone, [keys["ann"], cat]))
        known = await web.approvers()
        assert {one.person for one in known.approvers} == {"ann", "cat"}
        # Fewer than must approve never stay.
        out = acts.remove(cat.credential_id)
        asked = await proofs(web, out, [keys["ann"], cat])
        assert await code_of(web.remove_approver(cat.credential_id, asked)) == "signer.approver.refused"


async def test_an_approval_is_good_once_for_one_state_and_for_72_hours(signer: Running) -> None:
    keys = list((await pinned(signer, "ann", "ben")).values())
    async with signer.client("web") as web:
        down = await proofs(web, acts.number(1), keys)
        await web.set_approvals(1, down)
        up = await proofs(web, acts.number(2), keys[:1])
        await web.set_approvals(2, up)
        assert await code_of(web.set_approvals(1, down)) == "signer.approval.invalid"
        late = await proofs(web, acts.number(1), keys)
        signer.clock.advance(timedelta(hours=72, seconds=31))
        assert await code_of(web.set_approvals(1, late)) == "signer.approval.invalid"


async def test_origin_party_user_verification_and_counter_are_looked_at(signer: Running) -> None:
    keys = await pinned(signer, "ann", "ben")
    ann, ben = keys["ann"], keys["ben"]
    absent = Authenticator(verifies_user=False)
    absent.key, absent.credential_id, absent.count = ann.key, ann.credential_id, 50
    act = acts.number(1)
    async with signer.client("web") as web:
        good = await proof(web, act, ben)
        for bad in (
            await proof(web, act, ann, origin="https://evil.example"),
            await proof(web, act, ann, rp="evil.example"),
            await proof(web, act, absent),
        ):
            assert await code_of(web.set_approvals(1, [good, bad])) == "signer.approval.invalid"
        ann.count = 0
        await web.set_approvals(2, await proofs(web, acts.number(2), [ann, ben]))
        ann.count = 0  # a clone that has not seen what the first has done
        cloned = await proofs(web, act, [ann, ben])
        assert await code_of(web.set_approvals(1, cloned)) == "signer.approval.invalid"


async def test_a_registration_is_for_the_person_named_and_for_72_hours(signer: Running) -> None:
    key = Authenticator()
    async with signer.client("setup") as setup:
        for_ann = made(key, await setup.ask_registration("ann"))
        assert await code_of(setup.pin_approver("ben", "key", for_ann, RP, [ORIGIN])) == "signer.approval.invalid"
        assert await code_of(setup.pin_approver("ann", "key", made(key, bytes(32)), RP, [ORIGIN])) == (
            "signer.approval.invalid"
        )
        signer.clock.advance(timedelta(hours=72, seconds=31))
        assert await code_of(setup.pin_approver("ann", "key", for_ann, RP, [ORIGIN])) == "signer.approval.invalid"
        fresh = made(key, await setup.ask_registration("ann"))
        await setup.pin_approver("ann", "key", fresh, RP, [ORIGIN])
        again = made(key, await setup.ask_registration("ben"))
        assert await code_of(setup.pin_approver("ben", "key", again, RP, [ORIGIN])) == "signer.approver.refused"
        other = made(Authenticator(), await setup.ask_registration("ben"))
        assert await code_of(setup.pin_approver("ben", "key", other, "evil.example", ["https://evil.example"])) == (
            "signer.approver.refused"
        )


async def test_more_issuing_keys_than_a_signer_makes_unasked_take_approval(signer: Running) -> None:
    keys = list((await pinned(signer, "ann", "ben")).values())
    async with signer.client("setup") as setup:
        for _ in range(16):
            await setup.generate_key(KeyPurpose.ISSUING)
        assert await code_of(setup.generate_key(KeyPurpose.ISSUING)) == "signer.approval.missing"
        act = acts.generate("issuing", "p256")
        both = await proofs(setup, act, keys)
        await setup.generate_key(KeyPurpose.ISSUING, proofs=both)
        assert await code_of(setup.generate_key(KeyPurpose.ISSUING, proofs=both)) == "signer.approval.invalid"


def test_pins_that_somebody_else_wrote_or_took_away_stop_the_signer(tmp_path: Path) -> None:
    path, secret, clock = tmp_path / "approvers.json", tmp_path / "approvers.secret", FakeClock(NOW)
    Judge.open(path, secret, clock)
    Judge.open(path, secret, clock)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"needed":2', b'"needed":1'))
    with pytest.raises(ApproversUnsafe, match="changed"):
        Judge.open(path, secret, clock)
    path.write_bytes(b"{}")
    with pytest.raises(ApproversUnsafe, match="cannot be read"):
        Judge.open(path, secret, clock)
    path.unlink()
    with pytest.raises(ApproversUnsafe, match="but no"):
        Judge.open(path, secret, clock)


def test_a_change_that_cannot_be_made_durable_has_not_happened(tmp_path: Path) -> None:
    path, secret, clock = tmp_path / "approvers.json", tmp_path / "approvers.secret", FakeClock(NOW)
    Judge.open(path, secret, clock)

    def full(_path: Path, _content: bytes) -> None:
        raise OSError("disk full")

    judge = Judge.open(path, secret, clock, write=full)
    key = Authenticator()
    response = made(key, judge.registration_challenge("ann"))
    with pytest.raises(SignerRefused) as refused:
        judge.pin("ann", "key", response, RP, (ORIGIN,))
    assert refused.value.code == "signer.approvers.state"
    assert judge.listed(1).approvers == ()


@pytest.mark.parametrize(
    "data", [b"", b"key.attach", b"key.attach\n[]", b'key.attach\n{"b":1, "a":2}', b"policy.apply\n{}", b"\xff\n{}"]
)
def test_an_act_that_is_not_in_its_one_form_is_not_asked_about(data: bytes) -> None:
    with pytest.raises(SignerRefused) as refused:
        acts.decode(data)
    assert refused.value.code == "signer.malformed"
    act = acts.number(3)
    assert acts.decode(acts.encode(act)) == act
