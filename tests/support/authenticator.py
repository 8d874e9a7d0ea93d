"""A passkey in software: enough of CTAP2 to make a credential and to sign in with it (no attestation)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """One credential on one device. The counter moves with every use."""

    def __init__(self, *, verifies_user: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(32)
        self.count = 0
        self._flags = _PRESENT | (_VERIFIED if verifies_user else 0)

    @staticmethod
    def b64(data: bytes) -> str:
        """base64url without padding, as browsers' JSON has it."""
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def create(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """What ``navigator.credentials.create`` would give for these options on a page of ``origin``."""
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id + cose
        data = self._data(options["rp"]["id"], self._flags | _ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            {
                "clientDataJSON": self._client_data("webauthn.create", options["challenge"], origin),
                "attestationObject": self.b64(attestation),
            }
        )

    def get(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """What ``navigator.credentials.get`` would give."""
        self.count += 1
        client_data = self._client_data("webauthn.get", options["challenge"], origin)
        data = self._data(options["rpId"], self._flags)
        raw = base64.urlsafe_b64decode(client_data + "==")
        signature = self.key.sign(data + hashlib.sha256(raw).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {"clientDataJSON": client_data, "authenticatorData": self.b64(data), "signature": self.b64(signature)}
        )

    def _data(self, party: str, flags: int) -> bytes:
        return hashlib.sha256(party.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _client_data(self, kind: str, challenge: str, origin: str) -> str:
        return self.b64(json.dumps({"type": kind, "challenge": challenge, "origin": origin}).encode())

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        identifier = self.b64(self.credential_id)
        return {"id": identifier, "rawId": identifier, "type": "public-key", "response": response,
                "clientExtensionResults": {}}  # fmt: skip
