"""The attestation CA's records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from troth.enroll.tpm.endorsement import Make

#: What stands in a certificate where neither the maker nor an operator says what the TPM is.
UNKNOWN = Make("id:00000000", "unknown", "id:00000000")


@dataclass(frozen=True, slots=True)
class RegisteredTpm:
    """A TPM that an operator vouches for.

    Attributes:
        ek_sha256: of its endorsement key's SubjectPublicKeyInfo.
        device_id: the subject that it is soldered into.
        identifier: the permanent identifier of its attestation keys' certificates: what an ACME order names.
        make: what it is; a maker's certificate, where one is believed, goes before it.
        attested_at: when an attestation key of it was last certified.
    """

    ek_sha256: bytes
    device_id: UUID
    identifier: str
    make: Make
    added_at: datetime
    actor: str
    attested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """A secret that a TPM is to open, without the secret.

    Attributes:
        id: names the issuance that may come of it, once.
        spki: of the attestation key, whose Name is ``name``.
        make: what the maker's certificate says; None where none was believed.
    """

    secret_sha256: bytes
    id: UUID
    ek_sha256: bytes
    spki: bytes
    name: bytes
    make: Make | None
    expires_at: datetime
