"""device-attest-01: what a key's place says, in CBOR."""

from __future__ import annotations

from dataclasses import dataclass, field

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.agent.errors import CHALLENGE, AgentError
from troth.agent.keys.files import FileKey, generate
from troth.agent.keys.model import Attested, KeyAccess, StatementValue
from troth.agent.solvers.attest01 import AttestSolver, encode
from troth.agent.solvers.model import Proof
from troth.client.acme_objects import Problem
from troth.client.acme_session import AcmeError
from troth.client.jose import PrivateKey, PublicKey, b64url_decode

PROOF = Proof("permanent-identifier", "A1", "token", "token.thumb", "")

values = st.recursive(
    st.integers(-(2**64), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_what_is_written_is_read_by_others(value: StatementValue) -> None:
    assert cbor2.loads(encode(value)) == value


def test_what_has_no_place_in_a_statement_is_refused() -> None:
    with pytest.raises(TypeError):
        encode(True)
    with pytest.raises(ValueError, match="64 bits"):
        encode(2**64)


@dataclass
class Attesting:
    label: str = "device"
    key: PrivateKey = field(default_factory=lambda: generate("p256"))

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key()

    def private_key(self) -> PrivateKey:
        return self.key

    def access(self) -> KeyAccess:
        return KeyAccess(b"")

    def attest(self, key_authorization: str) -> Attested:
        return Attested("tpm", {"ver": "2.0", "bound": key_authorization})

    def disbelieved(self) -> None:
        self.label = "anew"


async def test_the_place_is_made_ready_and_its_statement_is_the_answer() -> None:
    done: list[str] = []

    async def prepare() -> None:
        done.append("ready")

    async with AttestSolver(Attesting(), prepare).shown(PROOF) as answer:
        assert done == ["ready"]
        told = cbor2.loads(b64url_decode(answer["attObj"]))
    assert told == {"fmt": "tpm", "attStmt": {"ver": "2.0", "bound": "token.thumb"}}


@pytest.mark.parametrize(("kind", "label"), [("badAttestationStatement", "anew"), ("rateLimited", "device")])
async def test_a_statement_that_is_not_believed_is_made_anew(kind: str, label: str) -> None:
    key = Attesting()

    async def prepare() -> None:
        pass

    with pytest.raises(AcmeError):
        async with AttestSolver(key, prepare).shown(PROOF):
            raise AcmeError(Problem(type=f"urn:ietf:params:acme:error:{kind}"))
    assert key.label == label


async def test_a_key_in_a_file_proves_no_device() -> None:
    async def prepare() -> None:
        raise AssertionError("not reached")

    with pytest.raises(AgentError, match="cannot attest") as refused:
        async with AttestSolver(FileKey("web", generate("p256")), prepare).shown(PROOF):
            raise AssertionError("not reached")
    assert refused.value.reason is CHALLENGE
