"""Why a TPM's evidence is not taken: the reason codes of the attestation CA."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

SIGNATURE = reason(
    "tpm.signature.wrong",
    "a signature of the TPM does not verify",
    fix="Send the attestation with the signature that the TPM returned for it, by the key that is named.",
    status=403,
)
ENDORSEMENT_KEY = reason(
    "tpm.endorsement.key",
    "the endorsement key is of no kind that a TPM has",
    fix="Send the public half of the endorsement key that the TPM makes from a template of the TCG.",
)
ENDORSEMENT_CERTIFICATE = reason(
    "tpm.endorsement.certificate",
    "nobody who is believed vouches for the endorsement key's certificate",
    fix="Add the maker's root or issuing authority (troth anchor add --purpose 2.23.133.8.1), or register the "
    "endorsement key (troth tpm register).",
    status=403,
)
ATTESTATION_KEY = reason(
    "tpm.attestation_key.unfit",
    "the key is no attestation key",
    fix="Create it in the TPM as a restricted signing key that never leaves: fixedTPM, fixedParent, "
    "sensitiveDataOrigin, restricted, sign.",
    status=403,
)
CREATION = reason(
    "tpm.creation.wrong",
    "the attestation of the key's creation does not fit the key",
    fix="Have the key certify its own creation (TPM2_CertifyCreation) and send creation data, attestation and "
    "signature unchanged.",
    status=403,
)
UNREGISTERED = reason(
    "tpm.endorsement.unregistered",
    "no device has a TPM with this endorsement key",
    fix="Register it with the device it belongs to: troth tpm register --device NAME --ek SHA256.",
    status=403,
)
REGISTERED = reason(
    "tpm.endorsement.registered",
    "the endorsement key is registered already",
    fix="Look at it with troth tpm show; remove it first if the TPM has moved to another device.",
    status=409,
)
IDENTIFIER_TAKEN = reason(
    "tpm.registration.identifier_taken",
    "another device's TPM is registered with this permanent identifier",
    fix="Give each device an identifier of its own, such as its serial number; look with troth tpm list.",
    status=409,
)
REGISTRATION = reason(
    "tpm.registration.malformed",
    "the TPM cannot be registered so",
    fix="Name a device of the directory and the endorsement key as docs/tpm.md has it.",
)
REQUEST = reason(
    "tpm.request.malformed",
    "the request to the attestation CA cannot be read",
    fix="Send what docs/tpm.md has: JSON, octets in base64.",
)
SECRET = reason(
    "tpm.secret.wrong",
    "no open challenge has this secret",
    fix="Start again with a new request: a secret is good for one answer and for a few minutes.",
    status=403,
)
TOO_MANY = reason(
    "tpm.request.too_many",
    "too many requests to the attestation CA at once",
    fix="Wait a minute and try again.",
    status=429,
)


class TpmRefused(TrothError):
    """The evidence is not taken; the detail says what was expected and what came."""
