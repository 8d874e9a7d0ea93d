"""What the mint can refuse, each with its reason code."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NAME_MALFORMED = reason(
    "pki.name.malformed",
    "a name in the request is malformed",
    fix="Send DNS names as lower-case A-labels, addresses without port or zone, absolute ASCII URIs, user principal "
    "names as user@realm.",
)
NAME_UNSUPPORTED = reason(
    "pki.name.unsupported",
    "a name in the request is of a kind that Troth does not certify",
    fix="Ask for names of the kinds that docs/profiles.md lists.",
)
CSR_MALFORMED = reason(
    "pki.csr.malformed",
    "the certificate signing request cannot be read",
    fix="Send one DER-encoded PKCS#10 request, signed by the key that it carries.",
)
CSR_SIGNATURE = reason(
    "pki.csr.signature",
    "the signature of the certificate signing request does not verify",
    fix="Sign the request with the private key that belongs to its public key.",
)
CSR_CA = reason(
    "pki.csr.ca_requested",
    "the request asks for a CA certificate",
    fix="Remove basicConstraints from the request; authorities are made by ceremony only.",
)
KEY_UNSUPPORTED = reason(
    "pki.key.unsupported",
    "the public key is of a kind or size that is not accepted",
    fix="Use P-256, P-384, P-521, Ed25519, or RSA of 2,048 to 8,192 bits with exponent 65537.",
)
KEY_WEAK = reason(
    "pki.key.weak",
    "the public key has a known weakness",
    fix="Make a new key with a current library; this one can be factored.",
)
KEY_COMPROMISED = reason(
    "pki.key.compromised",
    "the key is known to be in other hands, or weak, and is blocked",
    fix="Make a new key; this one will never be certified again.",
)
KEY_PUBLISHED = reason(
    "pki.key.published",
    "the private key is published: in a standard, a test suite or a list of keys that anybody can make",
    fix="Make a new key with a current library, on a machine with a sound random generator.",
)
KEY_PROOF_MALFORMED = reason(
    "pki.key.proof_malformed",
    "the proof of compromise cannot be read",
    fix="Send one PKCS#10 request (DER or PEM) signed with the key in question.",
)
KEY_PROOF_WRONG = reason(
    "pki.key.proof_wrong",
    "the request is no proof of compromise",
    fix="Sign a request whose subject is CN=Proof of Key Compromise and nothing else: openssl req -new -key KEY "
    "-subj '/CN=Proof of Key Compromise'.",
)
KEY_UNREADABLE = reason(
    "pki.key.unreadable",
    "there is no public key to be found in what was given",
    fix="Give a certificate, a request or a public key (DER or PEM), or the SHA-256 of a SubjectPublicKeyInfo.",
)
KEY_BLOCK_MANY = reason(
    "pki.key.block_many",
    "blocking this key would revoke many certificates at once",
    fix="Look at what it would hit, and confirm that number.",
    status=409,
)
PROFILE_MALFORMED = reason(
    "pki.profile.malformed",
    "the certificate profile cannot be used",
    fix="Compare with the profiles that Troth ships; unknown keys are refused so that a typo cannot widen a profile.",
)
PROFILE_UNKNOWN = reason(
    "pki.profile.unknown",
    "no such certificate profile is applied",
    fix="List the profiles, or apply one with `troth apply -f`.",
    status=404,
)
PROFILE_CHANGED = reason(
    "pki.profile.changed",
    "the profile was changed by someone else at the same moment",
    fix="Look at the present version and apply again.",
    status=409,
)
PROFILE_REFUSES = reason(
    "pki.profile.refuses",
    "the request does not fit the certificate profile",
    fix="Ask for what the profile allows, or for another profile.",
    status=403,
)
VARIABLE_MISSING = reason(
    "pki.profile.variable_missing",
    "the certificate profile needs a fact that is not known of the subject",
    fix="Have the directory, the MDM or the door report the variable that is named, or give it a default in the "
    "profile; `troth profile preview` shows what is still missing.",
    status=403,
)
HARDWARE_REQUIRED = reason(
    "pki.profile.hardware_required",
    "the certificate profile takes only keys that are proved to live in hardware",
    fix="Enrol with a key attestation (ACME device-attest-01), or ask for a profile without hardware_bound.",
    status=403,
)
AUTHORITY_UNKNOWN = reason(
    "pki.authority.unknown",
    "no such authority",
    fix="List the authorities of this installation.",
    status=404,
)
AUTHORITY_MISSING = reason(
    "pki.authority.missing",
    "no authority here issues certificates of this class",
    fix="See `troth authority list`: add or activate an authority of the class, or change the profile's issuer_class.",
    status=409,
)
AUTHORITY_CLASS = reason(
    "pki.authority.class",
    "the authority does not issue for this class",
    fix="Leave the choice of the authority to the profile's issuer_class, or give the profile another class.",
    status=409,
)
AUTHORITY_EXISTS = reason(
    "pki.authority.exists",
    "an authority of this name or certificate exists already",
    fix="Choose another name; an authority's certificate is never exchanged.",
    status=409,
)
AUTHORITY_STATE = reason(
    "pki.authority.state",
    "the authority cannot go to that state",
    fix="States go planned, active, retiring, retired; docs/rollover.md says what each step takes.",
    status=409,
)
AUTHORITY_CERTIFICATE = reason(
    "pki.authority.certificate",
    "the certificate cannot be an authority's here",
    fix="Compare issuer, key, basicConstraints, keyUsage and validity with the detail, and have it made anew.",
    status=422,
)
AUTHORITY_UNCHAINED = reason(
    "pki.authority.unchained",
    "the certificate leads to no root that is known here",
    fix="Give the certificates between it and its root with --chain, the root last.",
    status=422,
)
ANCHOR_REFUSED = reason(
    "pki.anchor.refused",
    "this cannot be a trust anchor",
    fix="Give a CA certificate that is in force, and the purposes for which it is to be believed.",
    status=422,
)
ANCHOR_EXISTS = reason(
    "pki.anchor.exists",
    "this trust anchor is here already",
    fix="To change its purposes, remove it and add it anew.",
    status=409,
)
ANCHOR_UNKNOWN = reason(
    "pki.anchor.unknown", "there is no such trust anchor", fix="List them with `troth anchor list`.", status=404
)
IMPORT_REFUSED = reason(
    "pki.import.refused",
    "the issued certificates or the CRL cannot be taken over",
    fix="Mend what the detail names; nothing of this batch was written, and an import can be repeated.",
    status=409,
)
AUTHORITY_INACTIVE = reason(
    "pki.authority.inactive",
    "the authority issues no certificates in its present state",
    fix="Use an active authority; a retired one signs CRLs only.",
    status=409,
)
LINT_REFUSED = reason(
    "pki.lint.refused",
    "what was about to be signed does not pass lint",
    fix="The findings name each failing assertion; a profile or a defect of Troth is at fault, not the caller.",
    status=500,
)
TOKEN_MISUSED = reason(
    "pki.lint.token_misused",
    "a lint token was used twice or for other bytes",
    fix="Report this as a defect.",
    status=500,
)
CLOCK_SKEW = reason(
    "pki.clock.skew",
    "no signing while the clocks of node, database and ledger disagree",
    fix="Bring NTP on node and database host in order; signing resumes by itself.",
    status=503,
)
FENCED = reason(
    "ops.fenced",
    "nothing is issued and no status is vouched for until a person decides what a restore may have lost",
    fix="See `troth restore status` and docs/recovery.md, then `troth restore decide`.",
    status=503,
)
FENCE_OPEN = reason(
    "ops.fence_open",
    "the recovery fence is not closed; there is nothing to decide",
    fix="Nothing to do.",
    status=409,
)
REQUEST_RESERVED = reason(
    "pki.gate.reserved",
    "this request is being issued, or its issuance was cut short",
    fix="Ask again with the same request id in a minute; it is then issued or burnt.",
    status=409,
)
REQUEST_BURNT = reason(
    "pki.gate.burnt",
    "the issuance of this request was cut short and its serial number burnt",
    fix="Make a new request with a new request id.",
    status=409,
)
REQUEST_REUSED = reason(
    "pki.gate.request_reused",
    "this request id was used for a different certificate",
    fix="Use one request id for one key, profile and authority.",
    status=409,
)
SIGNATURE_WRONG = reason(
    "pki.gate.signature_wrong",
    "the signer returned a signature that does not verify",
    fix="Check that the signer holds the key of this authority; nothing was issued.",
    status=500,
)
STORE_REFUSED = reason(
    "pki.gate.store_refused",
    "the reservation changed before the signed certificate could be stored",
    fix="Make a new request; the signed bytes were dropped and their serial number is burnt.",
    status=409,
)
CERTIFICATE_UNKNOWN = reason(
    "pki.certificate.unknown",
    "no such certificate",
    fix="Look the serial number up under Certificates.",
    status=404,
)
ALREADY_REVOKED = reason(
    "pki.certificate.already_revoked",
    "the certificate is revoked already",
    fix="Nothing to do; only an upgrade to keyCompromise changes a revocation.",
    status=409,
)
REASON_REFUSED = reason(
    "pki.revocation.reason_refused",
    "this revocation reason cannot be chosen",
    fix="Use 0, 1, 3, 4, 5 or 9; a hold is raised and cleared, never asked for as a reason.",
)
CRL_OVERTAKEN = reason(
    "pki.crl.overtaken",
    "another build of this CRL was faster",
    fix="Nothing to do; the newer CRL stands.",
    status=409,
)
CRL_SHARDS = reason(
    "pki.crl.shards",
    "the authority has no such CRL shard, or would have fewer than before",
    fix="Shards are numbered from 0 and only ever raised, to 256 at most: certificates rely on theirs.",
)
CRL_NO_BASE = reason(
    "pki.crl.no_base",
    "there is no complete CRL that a delta could start from, or so much has changed since that a delta is no relief",
    fix="Nothing to do: the next CRL is a complete one.",
    status=409,
)
CRL_WRONG = reason(
    "pki.crl.signature_wrong",
    "the signer returned a CRL signature that does not verify",
    fix="Check that the signer holds the key of this authority; the last CRL stays published.",
    status=500,
)
OCSP_MALFORMED = reason(
    "pki.ocsp.malformed",
    "the OCSP request cannot be read",
    fix="Send a DER-encoded OCSPRequest (RFC 6960, 4.1).",
)
BULK_EMPTY = reason(
    "pki.bulk.unbounded",
    "nothing narrows down which certificates are meant",
    fix="Name a subject, a profile, an authority, times of issuance or serial numbers.",
    status=422,
)
BULK_TOO_MANY = reason(
    "pki.bulk.too_many",
    "more certificates are meant than one order may revoke",
    fix="Narrow it down, by times of issuance for one, and order it in parts.",
    status=409,
)
BULK_UNKNOWN = reason(
    "pki.bulk.unknown", "there is no such order to revoke many", fix="See the proposal that it came from.", status=404
)
INSPECTION_MOVED = reason(
    "pki.inspection.moved",
    "another process has taken this part of the walk",
    fix="Nothing to do; the other process goes on from there.",
    status=409,
)
LINT_UNREADABLE = reason(
    "pki.lint.unreadable",
    "there is nothing to lint in what was given",
    fix="Give a certificate, a certificate request or a CRL, DER or PEM, of at most 32 MiB.",
)
PATH_REFUSED = reason(
    "pki.path.refused",
    "the certificate's chain does not hold",
    fix="The detail names the link, what was expected of it and what was found.",
)


class PathRefused(TrothError):
    """A chain does not lead to its anchor; ``facts["depth"]`` is 0 for the certificate itself."""


class InspectionMoved(TrothError):
    """A walk over the certificates was moved by another process."""


class NameRefused(TrothError):
    """A general name is malformed or of a kind that is not certified."""


class CsrRefused(TrothError):
    """A signing request is malformed, unproven or hostile."""


class KeyRefused(TrothError):
    """A public key is of no accepted kind, or weak."""


class ProfileRefused(TrothError):
    """A profile is malformed, unknown, or does not allow what is asked."""


class AuthorityRefused(TrothError):
    """An authority is unknown or may not issue."""


class LintRefused(TrothError):
    """The stored bytes fail an assertion; ``facts["findings"]`` lists the codes."""


class ClockRefused(TrothError):
    """The clock interlock is closed."""

    expected = True


class Fenced(ClockRefused):
    """The recovery fence is closed: to whoever issues, an interlock like the clocks'."""


class GateRefused(TrothError):
    """The gate cannot answer this request with a certificate."""


class RevocationRefused(TrothError):
    """A status change is impossible."""


class CrlRefused(TrothError):
    """A CRL could not be published."""


class OcspMalformed(TrothError):
    """An OCSP request is answered with malformedRequest."""
