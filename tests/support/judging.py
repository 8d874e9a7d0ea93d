"""The signer's own desk in this process: what the web role is answered, without a socket between."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from tests.support.dashboard import House
    from troth.kit.clock import Clock


async def confirm(house: House, proposal: str) -> httpx.Response:
    """What ``troth approver confirm`` does on the machine."""
    from tests.support.dashboard import Browser

    async with Browser(house.app, peer_uid=house.services.owner_uid) as local:
        one = (await local.get(f"/api/v1/approvals/{proposal}")).json()
        told, party = json.loads(one["payload"]), (await local.get("/api/v1/approvers")).json()
        await house.signer.pin_approver(
            told["person"], told["label"], told["response"].encode(), party["rp_id"], party["origins"]
        )
        return await local.post("/api/v1/approvers/confirmed", json={"proposal": proposal})


class DeskInProcess:
    """Answers as the signer does to the web role, and to the setup role where a test says so.

    Its permissions, its keys and its judge are the real ones.
    """

    def __init__(self, data: Path, clock: Clock) -> None:
        from troth.pki.keys.files import private_directory
        from troth.pki.keys.keyring import Keyring
        from troth.pki.signer.approvers import Judge
        from troth.pki.signer.crl_rules import CrlNumbers
        from troth.pki.signer.desk import Desk
        from troth.pki.signer.notary import Notary

        secrets = private_directory(data / "secrets")
        self.keys = Keyring.open(data, clock)
        notary = Notary.open(data / "notary.json", self.keys, "pki.example/ledger", clock)
        numbers = CrlNumbers(data / "keys" / "crl-numbers.state")
        judge = Judge.open(data / "approvers.json", secrets / "approvers.secret", clock)
        self._desk = Desk(self.keys, notary, numbers, clock, judge=judge)

    def close(self) -> None:
        """Let go of the key store."""
        self.keys.close()

    def _ask(self, build: Callable[[int], Any], role: str = "web") -> Any:
        from troth.pki.signer.desk import SlowRequest, authorize
        from troth.pki.signer.roles import ROLES

        request = build(1)
        authorize(ROLES[role], request)
        if isinstance(request, SlowRequest):
            return self._desk.slow(request, b"", ROLES[role])
        return self._desk.quick(request)

    async def approvers(self) -> Any:
        from troth.pki.signer import approvers_protocol as judging

        return self._ask(judging.ListApprovers)

    async def ask_registration(self, person: str) -> bytes:
        from troth.pki.signer import approvers_protocol as judging

        found: bytes = self._ask(lambda n: judging.AskRegistration(n, person)).challenge
        return found

    async def ask_approval(self, act: Any) -> Any:
        from troth.pki.signer import acts
        from troth.pki.signer import approvers_protocol as judging

        return self._ask(lambda n: judging.AskApproval(n, acts.encode(act)))

    async def pin_approver(self, person: str, label: str, response: bytes, rp_id: str, origins: Sequence[str]) -> None:
        """As the setup role."""
        from troth.pki.signer import approvers_protocol as judging

        self._ask(lambda n: judging.PinApprover(n, person, label, response, rp_id, tuple(origins)), "setup")

    async def register_approver(self, person: str, label: str, response: bytes, proofs: Sequence[Any]) -> None:
        from troth.pki.signer import approvers_protocol as judging

        self._ask(lambda n: judging.RegisterApprover(n, person, label, response, tuple(proofs)))

    async def remove_approver(self, credential_id: bytes, proofs: Sequence[Any]) -> None:
        from troth.pki.signer import approvers_protocol as judging

        self._ask(lambda n: judging.RemoveApprover(n, credential_id, tuple(proofs)))

    async def set_approvals(self, needed: int, proofs: Sequence[Any]) -> None:
        from troth.pki.signer import approvers_protocol as judging

        self._ask(lambda n: judging.SetApprovals(n, needed, tuple(proofs)))

    async def list_keys(self, purpose: Any = None) -> list[Any]:
        from troth.pki.signer import protocol

        return list(self._ask(lambda n: protocol.ListKeys(n, purpose)).keys)

    async def generate_key(self, purpose: Any, algorithm: Any, custodian: str, *, proofs: Sequence[Any]) -> Any:
        from troth.pki.signer import protocol

        return self._ask(lambda n: protocol.GenerateKey(n, purpose, algorithm, tuple(proofs), custodian)).key

    async def attach_authority(self, key_id: str, certificate: bytes, bounds: Any, *, proofs: Sequence[Any]) -> Any:
        from troth.pki.signer import protocol

        return self._ask(lambda n: protocol.AttachAuthority(n, key_id, certificate, bounds, tuple(proofs))).key
