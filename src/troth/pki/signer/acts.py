"""Acts that the signer itself wants approved, as canonical JSON: what approvers see is what the signer hashes.

The two-person rule of the web process has the same kinds with the same payloads, so that one hash stands for both.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

import msgspec

from troth.access.approvals.model import Act
from troth.kit.canonical import Json
from troth.pki.keys.model import SOFTWARE
from troth.pki.signer.errors import MALFORMED, SignerRefused

ADD, REMOVE, NUMBER = "approver.add", "approver.remove", "approver.number"
ATTACH, GENERATE = "key.attach", "key.generate"
KINDS = (ADD, REMOVE, NUMBER, ATTACH, GENERATE)


def add(person: str, label: str, response: bytes, credential_id: bytes, public_key: bytes) -> Act:
    """A further approver's passkey is pinned. ``response``: the browser's answer (JSON), whole."""
    return Act.of(
        ADD,
        {
            "person": person,
            "label": label,
            "credential_id": credential_id.hex(),
            "public_key_sha256": hashlib.sha256(public_key).hexdigest(),
            "response": response.decode("utf-8", "replace"),
        },
    )


def fingerprint(public_key: bytes) -> str:
    """A passkey (its COSE key) as people compare it: ``1a2b 3c4d 5e6f 7081``."""
    digits = hashlib.sha256(public_key).hexdigest()[:16]
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))


def remove(credential_id: bytes) -> Act:
    """A passkey is unpinned."""
    return Act.of(REMOVE, {"credential_id": credential_id.hex()})


def number(needed: int) -> Act:
    """So many persons must approve from then on."""
    return Act.of(NUMBER, {"needed": needed})


def attach(key_id: str, certificate: bytes, bounds: msgspec.Struct) -> Act:
    """A key is bound to an authority with these limits."""
    limits: Json = msgspec.to_builtins(bounds)
    return Act.of(ATTACH, {"key_id": key_id, "certificate": b64encode(certificate).decode(), "bounds": limits})


def generate(purpose: str, algorithm: str, custodian: str = SOFTWARE) -> Act:
    """One more issuing key is made."""
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
