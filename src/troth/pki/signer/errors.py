"""What the signer process refuses, and what can happen on the way to it.

Two families that a caller must never confuse: :class:`SignerRefused` and :class:`SignerUnavailable` mean that nothing
was signed; :class:`SignerLost` means that something may have been, and that asking again is forbidden: the serial
number is burnt.
"""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

UNAVAILABLE = reason(
    "signer.unavailable",
    "the signer process does not answer",
    fix="See that `troth serve --role signer` runs; requests that were not sent yet may be made again.",
    status=503,
)
LOST = reason(
    "signer.lost",
    "the signer's answer was lost, so it may have signed",
    fix="Nothing to do: the serial number is burnt and revoked; make a new request.",
    status=503,
)
ROLE = reason(
    "signer.role",
    "this role may not ask the signer for that",
    fix="Each process asks for what its role needs; the table is in troth.pki.signer.roles.",
    status=403,
)
HANDSHAKE = reason(
    "signer.handshake",
    "the peer did not prove its role",
    fix="Client and signer must run under allowed uids and read the same secrets directory.",
    status=403,
)
MALFORMED = reason(
    "signer.malformed",
    "the request or the bytes to be signed cannot be read",
    fix="Report this as a defect.",
)
BUSY = reason(
    "signer.busy",
    "too many requests wait for the signer",
    fix="Ask again in a moment.",
    status=503,
)
KEY_UNATTACHED = reason(
    "signer.key_unattached",
    "the key is bound to no authority yet and signs nothing",
    fix="Finish the making of the authority: attach its certificate to the key.",
    status=409,
)
AUTHORITY_CERTIFICATE = reason(
    "signer.authority_certificate",
    "the certificate cannot be an authority's for this key",
    fix="It must carry this key, be a CA with keyCertSign, cRLSign and a subject key identifier, and be in force.",
)
REPLAY = reason(
    "signer.replay",
    "this reservation or serial number was presented before, or is older than the signer's memory",
    fix="Nothing to do: a reservation is signed at most once; make a new request.",
    status=409,
)
LIMIT_ISSUER = reason(
    "signer.limit.issuer",
    "the issuer is not the authority of the key",
    fix="Use the key of the issuer that is named.",
)
LIMIT_AUTHORITY_KEY = reason(
    "signer.limit.authority_key",
    "the authority key identifier is missing or another key's",
    fix="Compile the profile for the authority that signs.",
)
LIMIT_ALGORITHM = reason(
    "signer.limit.algorithm",
    "the signature algorithm does not fit the key",
    fix="Compile the profile for the authority that signs.",
)
LIMIT_SERIAL = reason(
    "signer.limit.serial",
    "the serial number is not positive, or has fewer than 8 or more than 20 octets",
    fix="Take serial numbers from troth.pki.serial.",
)
LIMIT_CA = reason(
    "signer.limit.ca",
    "the key may not sign CA certificates like this one",
    fix="CA certificates are made by ceremony, under a key whose limits allow them.",
    status=403,
)
LIMIT_VALIDITY = reason(
    "signer.limit.validity",
    "the validity lies outside of the key's limits",
    fix="Shorten the profile's lifetime, or renew the authority; certificates start now and end before their issuer.",
)
LIMIT_KEY_USAGE = reason(
    "signer.limit.key_usage",
    "the key usage is missing or does not fit",
    fix="Name the key usage in the profile.",
)
LIMIT_EXTENDED_KEY_USAGE = reason(
    "signer.limit.extended_key_usage",
    "the extended key usage is missing or not among those of the key",
    fix="Use an authority whose key is meant for that usage.",
    status=403,
)
LIMIT_EXTENSION = reason(
    "signer.limit.extension",
    "an extension is not allowed here",
    fix="Remove the extension from the profile.",
)
LIMIT_CLASS = reason(
    "signer.limit.class",
    "certificates like this one are not for the key's issuer class",
    fix="Use the authority of the class: people log on under `people`, RADIUS servers are certified under `radius`.",
    status=403,
)
LIMIT_NAME = reason(
    "signer.limit.name",
    "a name of this kind is not for the key's issuer class",
    fix="Use the authority of the class; docs/authorities.md has the table.",
    status=403,
)
LIMIT_RESERVED_NAME = reason(
    "signer.limit.reserved_name",
    "the name is reserved for RADIUS servers",
    fix="Ask the `radius` authority, or take the name out of `pki.radius_names`.",
    status=403,
)
LIMIT_NAME_CONSTRAINTS = reason(
    "signer.limit.name_constraints",
    "a name lies outside of the authority's name constraints",
    fix="Use an authority whose certificate permits the name; nobody would accept the certificate.",
    status=403,
)
LIMIT_OWN_KEY = reason(
    "signer.limit.own_key",
    "such a certificate is only made for a key of that purpose which the signer generated itself",
    fix="Have the signer generate the key, or allow RADIUS servers of others with `pki.foreign_radius_keys`.",
    status=403,
)
LIMIT_RESPONDER = reason(
    "signer.limit.responder",
    "a responder's certificate is for a key of purpose ocsp made here, and nothing else is",
    fix="Have the signer generate a key of purpose ocsp.",
    status=403,
)
LIMIT_JWT = reason(
    "signer.limit.jwt",
    "this is no JWT-SVID that the signer makes",
    fix="A SPIFFE ID, an audience, now, and an hour at most; with a key of purpose jwt that is in use.",
    status=403,
)
LIMIT_CRL = reason(
    "signer.limit.crl",
    "the CRL's header lies outside of the key's limits",
    fix="thisUpdate is now, nextUpdate within the bound, the extensions are those of a complete CRL.",
)
CRL_NUMBER = reason(
    "signer.crl_number",
    "the CRL number does not come after the last one that was signed",
    fix="Nothing to do: a newer CRL was signed; the next build takes a higher number.",
    status=409,
)
NOTARY_STATE = reason(
    "signer.notary.state",
    "the notary's state file is missing, changed or of another key",
    fix="Restore notary.json from the newest backup; a notary that has forgotten must not sign.",
    status=503,
)
NOTARY_CLOCK = reason(
    "signer.notary.clock",
    "the time of the checkpoint lies before the last one, or ahead of the signer's clock",
    fix="Bring the clocks of signer and ledger within 30 s; checkpoints resume by themselves.",
    status=409,
)
BIRTH_DONE = reason(
    "pki.birth.done",
    "a root was born in this data directory already",
    fix="Use the authority that is there; another root is made by ceremony, or in another data directory.",
    status=409,
)
BIRTH_FAILED = reason(
    "pki.birth.failed",
    "the root could not be born",
    fix="See the detail; nothing was kept, and the next start tries again.",
    status=500,
)
APPROVAL_MISSING = reason(
    "signer.approval.missing",
    "fewer of the pinned persons have approved this than must",
    fix="Collect more approvals; see docs/approvals.md for what the signer wants approved.",
    status=403,
)
APPROVAL_INVALID = reason(
    "signer.approval.invalid",
    "an approval does not verify at the signer",
    fix="Ask anew and approve with a passkey that is pinned, from the dashboard's own address.",
    status=403,
)
APPROVER_REFUSED = reason(
    "signer.approver.refused",
    "the signer does not change its approvers so",
    fix="See docs/approvals.md: the first two persons are pinned at the machine, later ones by the present approvers.",
    status=409,
)
APPROVERS_STATE = reason(
    "signer.approvers.state",
    "the file of pinned approvers is missing, changed or cannot be written",
    fix="Restore approvers.json from the newest backup; a signer that has forgotten its approvers must not start.",
    status=503,
)


class BirthFailed(TrothError):
    """There is no new root; what was begun is taken away at the next try."""


class SignerRefused(TrothError):
    """The signer answered and signed nothing: the request is outside of the role, of the key's limits, or malformed."""


class SignerUnavailable(TrothError):
    """The request was never sent: nothing was signed, and it may be made again."""


class SignerLost(TrothError):
    """The request was sent and no answer came: it may have been signed. Never ask again for the same reservation."""


class NotaryUnsafe(TrothError):
    """The notary cannot trust its own memory, so the signer does not start."""


class ApproversUnsafe(TrothError):
    """The signer cannot trust what it knows of approvers, so it does not start."""
