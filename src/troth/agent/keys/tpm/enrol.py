"""Have an attestation key certified by an attestation CA: Troth's, or one that speaks as smallstep's does.

1. The TPM makes a restricted key and certifies its creation.
2. ``POST URL/attest`` with the endorsement key, its certificate if there is one, and the key; the answer holds a secret
   that only this TPM opens, and only for this key.
3. The TPM opens it (TPM2_ActivateCredential).
4. ``POST URL/secret`` with it; the answer is the certificate and its chain.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from troth.agent.errors import ATTESTATION_REFUSED, KeyTrouble
from troth.agent.keys.tpm.keys import AttestationIdentity, TpmKeys
from troth.client.errors import TransportError
from troth.client.transport import Transport

_MOST = 6


async def enrol(place: TpmKeys, url: str, transport: Transport) -> AttestationIdentity:
    """A new attestation key of the TPM of ``place``, certified and kept there. Raises KeyTrouble.

    Args:
        url: of the attestation CA, without ``/attest``.
    """
    tpm = place.tpm
    endorsement = await asyncio.to_thread(tpm.endorsement)
    birth = await asyncio.to_thread(tpm.make_attestation_key)
    spki = load_pem_public_key(endorsement.public_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    challenge = await _post(
        transport,
        f"{url.rstrip('/')}/attest",
        {
            "tpmInfo": {"version": 2},
            "ek": _text(spki),
            "ekCerts": [] if endorsement.certificate is None else [_text(endorsement.certificate)],
            "params": {
                "public": _text(birth.public),
                "createData": _text(birth.creation_data),
                "createAttestation": _text(birth.attestation),
                "createSignature": _text(birth.signature),
            },
        },
    )
    credential, encrypted = _octets(challenge.get("credential")), _octets(challenge.get("secret"))
    secret = await asyncio.to_thread(tpm.activate, endorsement.template, birth.pem, credential, encrypted)
    answer = await _post(transport, f"{url.rstrip('/')}/secret", {"secret": _text(secret)})
    chain = answer.get("chain")
    if not isinstance(chain, list) or not 1 <= len(chain) <= _MOST:
        raise KeyTrouble(ATTESTATION_REFUSED, f"the answer holds no chain of 1 to {_MOST} certificates")
    try:
        certificates = tuple(x509.load_der_x509_certificate(_octets(one)) for one in chain)
    except ValueError as error:
        raise KeyTrouble(ATTESTATION_REFUSED, "a certificate in the answer cannot be read") from error
    await asyncio.to_thread(place.keep_attestation, birth.pem, certificates)
    return AttestationIdentity(birth.pem, certificates)


async def _post(transport: Transport, url: str, body: Mapping[str, object]) -> Mapping[str, object]:
    try:
        answer = await transport.request(
            "POST", url, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
    except TransportError as error:
        raise KeyTrouble(ATTESTATION_REFUSED, error.detail) from error
    try:
        told = json.loads(answer.body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise KeyTrouble(ATTESTATION_REFUSED, f"{url}: status {answer.status}, and no JSON object")
    if answer.status != 200:
        code, detail = str(told.get("code", ""))[:80], str(told.get("detail", ""))[:300]
        raise KeyTrouble(ATTESTATION_REFUSED, f"{url}: status {answer.status} {code} {detail}", status=answer.status)
    return told


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except ValueError as error:
        raise KeyTrouble(ATTESTATION_REFUSED, "the answer is not as the protocol has it") from error
