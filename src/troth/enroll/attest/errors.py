"""Why an attestation statement is not believed."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

MALFORMED = reason(
    "attest.malformed",
    "the attestation cannot be read",
    fix='Send {"attObj": base64url of one CBOR map with fmt and attStmt}, at most 128 KiB, without trailing bytes.',
)
EMPTY = reason(
    "attest.empty",
    "the device sent no attestation",
    fix="Look at the device: Apple hardware before A11 or with a T2 ignores Attest, and a device that does not reach "
    "its maker's servers obtains none.",
)
FORMAT = reason(
    "attest.format",
    "unsupported format",
    fix="Send a statement of the formats that the directory accepts: apple, tpm, android-key or step.",
)
CHAIN = reason(
    "attest.chain",
    "the attestation's certificates do not lead to a root that is pinned for its format",
    fix="`troth attest inspect` shows the chain and the pinned roots; a maker's new root is added with "
    "`troth attest root set`.",
)
REVOKED = reason(
    "attest.revoked",
    "a certificate of the attestation is revoked by its maker",
    fix="The device's attestation key is not to be trusted; replace the device.",
)
REVOCATION_UNKNOWN = reason(
    "attest.revocation_unknown",
    "whether the attestation is revoked is not known now",
    fix="Let the worker fetch the maker's status list (egress.hosts), or load it with `troth attest status load`.",
    status=503,
)
CERTIFICATE = reason(
    "attest.certificate",
    "the attestation certificate is not as its format demands",
    fix="Attest with a key whose certificate was made for that; `troth attest inspect` names the member.",
)
SIGNATURE = reason(
    "attest.signature",
    "the attestation's signature does not verify",
    fix="Sign what the format says, with the key of the first certificate and the algorithm named in the statement.",
)
BINDING = reason(
    "attest.binding",
    "the attestation was not made for this challenge",
    fix="Make a new attestation over the key authorization of the challenge (apple: over its token).",
)
KEY = reason(
    "attest.key",
    "the attested key is not one that stays in the hardware and signs",
    fix="Make the key in the hardware, not exportable and for signatures.",
)
DEVICE = reason(
    "attest.device",
    "the device is not in the state that the format's rules ask for",
    fix="Lock the boot loader and boot the maker's system; keys of software are not hardware.",
)
IDENTIFIER = reason(
    "attest.identifier",
    "the attested device is not the one asked for",
    fix="Order the identifier that the hardware attests: `troth attest inspect` lists them.",
)
ROOT_UNREADABLE = reason(
    "attest.root_unreadable",
    "a root for attestations cannot be taken",
    fix="Give one or more self-signed CA certificates as PEM, and the format for which they shall stand.",
)
ROOT_RACED = reason(
    "attest.root_raced",
    "somebody else changed the roots of this format at the same time",
    fix="Look at what they are now, and say again what they shall be.",
    status=409,
)
REPLAYED = reason(
    "attest.replayed",
    "this attestation was presented before",
    fix="Make a new attestation for each challenge.",
)
KEY_ELSEWHERE = reason(
    "attest.key_elsewhere",
    "the attested key belongs to another device",
    fix="A hardware key cannot be in two devices: look for a clone, or for a device that was recorded twice.",
)
DEVICE_UNKNOWN = reason(
    "attest.device_unknown",
    "no device of the directory is known by this identifier",
    fix="Add the device with its serial number to the directory, or let its manager report it.",
)
DEVICE_AMBIGUOUS = reason(
    "attest.device_ambiguous",
    "several devices of the directory are known by this identifier",
    fix="Let the directory know each serial number once.",
)
DEVICE_REPORTS = reason(
    "attest.device_reports",
    "the device says that it cannot attest",
    fix="Look at the device's own log; the words that it sent are in the ledger.",
)
STATUS_UNREADABLE = reason(
    "attest.status_unreadable",
    "the status list for attestations cannot be read",
    fix="Give the JSON document that the maker publishes, at most 16 MiB.",
)


class AttestationRefused(TrothError):
    """The statement is not believed; ``facts`` hold ``check``, ``expected`` and ``got``."""


class Unreadable(AttestationRefused):
    """The bytes are no statement at all."""
