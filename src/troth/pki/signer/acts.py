"""Acts that the signer itself wants approved, as canonical JSON: what approvers see is what the signer hashes."""

from __future__ import annotations

import hashlib

import msgspec

from troth.access.approvals.model import Act
from troth.kit.canonical import Json
from troth.pki.keys.model import SOFTWARE
from troth.pki.signer.errors import MALFORMED, SignerRefused

REGISTER, REMOVE, NEEDED = "approver.register", "approver.remove", "approver.needed"
ATTACH, GENERATE = "key.attach", "key.generate"
KINDS = (REGISTER, REMOVE, NEEDED, ATTACH, GENERATE)


def register(person: str, credential_id: bytes, public_key: bytes) -> Act:
    """A further approver's passkey is pinned."""
    return Act.of(
        REGISTER,
        {
            "person": person,
            "credential_id": credential_id.hex(),
            "public_key_sha256": hashlib.sha256(public_key).hexdigest(),
        },
    )


def remove(credential_id: bytes) -> Act:
    """A passkey is unpinned."""
    return Act.of(REMOVE, {"credential_id": credential_id.hex()})


def needed(number: int) -> Act:
    """So many persons must approve from then on."""
    return Act.of(NEEDED, {"needed": number})


def attach(key_id: str, certificate: bytes, bounds: msgspec.Struct) -> Act:
    """A key is bound to an authority with limits wider than the default ones."""
    limits: Json = msgspec.to_builtins(bounds)
    digest = hashlib.sha256(certificate).hexdigest()
    return Act.of(ATTACH, {"key_id": key_id, "certificate_sha256": digest, "bounds": limits})


def generate(purpose: str, algorithm: str, custodian: str = SOFTWARE) -> Act:
    """One more issuing key is made than this signer makes unasked."""
    return Act.of(GENERATE, {"purpose": purpose, "algorithm": algorithm, "custodian": custodian})


def encode(act: Act) -> bytes:
    """``act`` as it travels: its kind and its payload."""
    return act.kind.encode() + b"\n" + act.payload


def decode(data: bytes) -> Act:
    """The act in ``data``. Raises SignerRefused for a kind that the signer does not judge."""
    kind, _, payload = data.partition(b"\n")
    if kind.decode("ascii", "replace") not in KINDS:
        raise SignerRefused(MALFORMED, "no kind of act that the signer judges")
    try:
        act = Act.of(kind.decode(), msgspec.json.decode(payload, type=dict))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise SignerRefused(MALFORMED, "the act is not canonical JSON") from error
    if act.payload != payload:
        raise SignerRefused(MALFORMED, "the act is not canonical JSON")
    return act
