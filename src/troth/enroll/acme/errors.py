"""Why an ACME request or a validation fails: the reason codes of this door.

``problems`` maps each of them to its RFC 8555 error type; a test holds that none is forgotten.
"""

from __future__ import annotations

from troth.kit.errors import reason

# The request as a message.
MALFORMED = reason(
    "acme.request.malformed",
    "the request is not what RFC 8555 asks for here",
    fix="Compare the request with RFC 8555, section 7; the detail names the member that is wrong.",
)
MEDIA_TYPE = reason(
    "acme.request.media_type",
    "the content type is not application/jose+json",
    fix="Send ACME requests with Content-Type: application/jose+json (RFC 8555, section 6.2).",
    status=415,
)
TOO_LARGE = reason(
    "acme.request.too_large",
    "the request body is larger than this resource takes",
    fix="Send a smaller request; certificate requests with hundreds of names belong in several orders.",
    status=413,
)
NOT_FOUND = reason(
    "acme.request.not_found",
    "there is no such ACME resource",
    fix="Start from the directory URL; do not build resource URLs yourself.",
    status=404,
)
METHOD = reason(
    "acme.request.method",
    "this ACME resource does not take that method",
    fix="Use POST-as-GET to read resources (RFC 8555, section 6.3).",
    status=405,
)

# The signature around it.
JWS_MALFORMED = reason(
    "acme.jws.malformed",
    "the body is not a flattened JSON Web Signature as ACME wants it",
    fix="Send exactly the members protected, payload and signature (RFC 8555, section 6.2).",
)
JWS_ALGORITHM = reason(
    "acme.jws.algorithm",
    "the signature algorithm is not accepted",
    fix="Sign with one of the algorithms in the problem's 'algorithms' member, fitting the account key.",
)
JWS_KEY = reason(
    "acme.jws.key",
    "the account key is not acceptable",
    fix="Make a new account key: P-256, P-384, P-521, Ed25519, or RSA of 2,048 to 8,192 bits.",
)
JWS_SIGNATURE = reason(
    "acme.jws.signature",
    "the signature does not verify with the key it names",
    fix="Check that the account URL (kid) belongs to the key that the client signs with.",
)
JWS_URL = reason(
    "acme.jws.url",
    "the signed url is not the URL this request was sent to",
    fix="Check public_url in the configuration: it must be the URL that clients see, proxies included.",
    status=403,
)
BAD_NONCE = reason(
    "acme.jws.nonce",
    "the anti-replay nonce is unknown, used or too old",
    fix="Retry with the nonce of this answer's Replay-Nonce header.",
)

# Accounts.
ACCOUNT_UNKNOWN = reason(
    "acme.account.unknown",
    "there is no account with this key or URL",
    fix="Register with newAccount first.",
)
ACCOUNT_INACTIVE = reason(
    "acme.account.inactive",
    "the account is deactivated or revoked",
    fix="Register a new account with a new key.",
    status=401,
)
ACCOUNT_FOREIGN = reason(
    "acme.account.foreign",
    "the resource belongs to another account",
    fix="Use the account that created it.",
    status=403,
)
ACCOUNT_KEY_IN_USE = reason(
    "acme.account.key_in_use",
    "the new key belongs to another account already",
    fix="Make a new key, or use the account in the Location header.",
    status=409,
)
ACCOUNT_NOT_FOUND = reason(
    "acme.account.not_found",
    "there is no such ACME account",
    fix="`troth account list` names those there are.",
    status=404,
)
ACCOUNT_CLOSED = reason(
    "acme.account.closed",
    "the ACME account is closed already",
    fix="Nothing to do.",
    status=409,
)
CONTACT_INVALID = reason(
    "acme.account.contact_invalid",
    "a contact is not a single plain e-mail address",
    fix="Give contacts as mailto:name@example.org without header fields.",
)
CONTACT_UNSUPPORTED = reason(
    "acme.account.contact_unsupported",
    "a contact has a scheme other than mailto",
    fix="Give contacts as mailto:name@example.org.",
)
BINDING_REQUIRED = reason(
    "acme.account.binding_required",
    "this profile needs an external account binding",
    fix="Ask the operator for a key id and an HMAC key and pass them to the client.",
    status=403,
)
BINDING_REFUSED = reason(
    "acme.account.binding_refused",
    "the external account binding does not verify",
    fix="Check key id and HMAC key with the operator.",
    status=403,
)
TERMS_REQUIRED = reason(
    "acme.account.terms_required",
    "the terms of service must be agreed to",
    fix="Read the terms in the Link header and agree in the client.",
    status=403,
)

# Orders.
IDENTIFIER_UNSUPPORTED = reason(
    "acme.identifier.unsupported",
    "the identifier type is not offered here",
    fix="Ask for dns or ip identifiers.",
)
IDENTIFIER_MALFORMED = reason(
    "acme.identifier.malformed",
    "the identifier is not written correctly",
    fix="Give host names as lower-case A-labels and addresses in canonical text (RFC 8738).",
)
IDENTIFIER_REJECTED = reason(
    "acme.identifier.rejected",
    "policy does not allow this identifier",
    fix="Ask the operator which names this profile may hold.",
)
COMPOUND = reason(
    "acme.identifier.compound",
    "several identifiers failed; see the subproblems",
    fix="Mend each identifier that the subproblems name.",
)
ORDER_NOT_READY = reason(
    "acme.order.not_ready",
    "the order is not ready to be finalised",
    fix="Complete every authorization of the order first.",
    status=403,
)
DECISION_REFUSED = reason(
    "acme.order.refused",
    "the trust decision refused this request",
    fix="`troth why` tells the failing condition.",
    status=403,
)
BAD_CSR = reason(
    "acme.csr.refused",
    "the certificate request is not acceptable",
    fix="Make the request anew with a fresh key and exactly the names of the order.",
)
PROFILE_UNKNOWN = reason(
    "acme.profile.unknown",
    "there is no such certificate profile here",
    fix="Choose a profile from the directory's meta.profiles.",
)
PROFILE_FORBIDDEN = reason(
    "acme.profile.forbidden",
    "this account may not order that profile",
    fix="Order another profile of the directory, or ask the operator for an enrolment that allows it.",
    status=403,
)
ALREADY_REPLACED = reason(
    "acme.order.already_replaced",
    "the certificate named in replaces has been replaced",
    fix="Order without replaces.",
    status=409,
)

REPLACES_REFUSED = reason(
    "acme.order.replaces",
    "the order cannot replace the certificate it names",
    fix="Order without replaces, or from the account that ordered the certificate, with at least one of its names.",
)

# Renewal information.
RENEWAL_MALFORMED = reason(
    "acme.renewal.malformed",
    "the certificate is not named as RFC 9773 names certificates",
    fix="Name it by base64url(authority key identifier), a dot and base64url(serial number), without padding.",
)
RENEWAL_UNKNOWN = reason(
    "acme.renewal.unknown",
    "there is no such certificate here",
    fix="Ask the server that issued the certificate.",
    status=404,
)

# Incidents: certificates that are to be renewed early.
INCIDENT_EMPTY = reason(
    "acme.incident.unbounded",
    "nothing narrows down which certificates are meant",
    fix="Name an authority, a profile, a kind of key, times of issuance or serial numbers.",
    status=422,
)
INCIDENT_VALUE = reason(
    "acme.incident.value",
    "a value of the incident cannot be taken",
    fix="The detail names the value and its bounds.",
    status=422,
)
INCIDENT_ROOM = reason(
    "acme.incident.room",
    "other incidents take up what may be renewed early in a minute",
    fix="Choose a lower rate, end another incident, or raise acme.renewals_per_minute.",
    status=409,
)
INCIDENT_UNKNOWN = reason(
    "acme.incident.unknown",
    "there is no such incident",
    fix="`troth renewal list` shows them.",
    status=404,
)
INCIDENT_ENDED = reason(
    "acme.incident.ended",
    "the incident has ended",
    fix="Begin another one if it is still wanted.",
    status=409,
)

# Revocation.
ALREADY_REVOKED = reason(
    "acme.revocation.already_revoked",
    "the certificate is revoked already",
    fix="Nothing to do.",
)
BAD_REVOCATION_REASON = reason(
    "acme.revocation.reason",
    "this revocation reason is not accepted",
    fix="Use 0, 1, 3, 4, 5 or 9 (RFC 5280, 5.3.1).",
)

# Validation of control over a name.
VALIDATION_CONNECTION = reason(
    "acme.validation.connection",
    "Troth could not connect to the name's server",
    fix="Open the challenge port from Troth to the server and check its address records.",
)
VALIDATION_DNS = reason(
    "acme.validation.dns",
    "the name could not be looked up",
    fix="Check the name's records and the resolver that Troth uses.",
)
VALIDATION_TLS = reason(
    "acme.validation.tls",
    "the TLS handshake for the challenge failed",
    fix="Check that the server speaks TLS 1.2 or later and ALPN acme-tls/1 on the challenge port.",
)
VALIDATION_INCORRECT = reason(
    "acme.validation.incorrect",
    "the server's answer to the challenge is not the expected one",
    fix="Check that the client and the server that answers are the same machine, and that no other client is at work.",
    status=403,
)
VALIDATION_TARGET = reason(
    "acme.validation.target",
    "the name leads to an address where Troth does not validate",
    fix="Point the name to the server's own address; see acme.validation in the configuration for denied networks.",
)

VALIDATION_QUORUM = reason(
    "acme.validation.quorum",
    "too few vantage points saw what the first one saw",
    fix="Check that the name answers alike from everywhere: split DNS, anycast and firewalls are the usual causes.",
)
VALIDATION_VANTAGE = reason(
    "acme.validation.vantage",
    "a vantage point elsewhere gave no answer that counts",
    fix="Run `troth vantage check` on Troth's machine; look at the vantage's log.",
)
VANTAGE_QUESTION = reason(
    "vantage.question",
    "the vantage does not answer this question",
    fix="Use the same version of Troth on both sides, and set their clocks.",
)
VANTAGE_STRANGER = reason(
    "vantage.stranger",
    "the vantage answers only those whose keys it knows",
    fix="Put what `troth vantage key` prints on Troth's machine into vantage.asked_by of the vantage.",
    status=403,
)
VANTAGE_BUSY = reason(
    "vantage.busy",
    "the vantage has too many questions under way",
    fix="Raise vantage.at_once, or ask fewer at a time.",
    status=503,
)
VALIDATION_CAA = reason(
    "acme.validation.caa",
    "the name's CAA records do not allow this server to certify it",
    fix="Add a CAA record with a name of this server (caaIdentities in the directory), or remove those that forbid it.",
    status=403,
)

# Everything else.
RATE_LIMITED = reason(
    "acme.rate_limited",
    "too many requests",
    fix="Wait as long as Retry-After says.",
    status=429,
)

FAILING = reason(
    "acme.failing",
    "validation for this name has failed too often in a row",
    fix="Mend what the challenge's error says, and wait as long as Retry-After says.",
    status=429,
)
PAUSED = reason(
    "acme.paused",
    "validation for this name never succeeds, and is paused",
    fix="Mend the cause, then open the link in the problem and let the client try again.",
    status=429,
)
LINK_INVALID = reason(
    "acme.unpause.link",
    "the link does not set anything going again",
    fix="Take the link from the client's latest refusal; an operator can do it too, with `troth account unpause`.",
)

# The server itself.
TEST_MODE = reason(
    "acme.test_mode.refused",
    "the settings of test mode are refused",
    fix="Set acme_test.enabled on a server that is only for tests of clients, or remove the section.",
    status=500,
)
NONCE_MAP_UNUSABLE = reason(
    "acme.nonce.map_unusable",
    "the map of used nonces cannot be opened safely",
    fix="nonces.map must be a regular file of Troth's own user on a local disk; it may be deleted while Troth is down.",
    status=500,
)
