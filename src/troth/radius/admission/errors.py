"""Why a network lets somebody in or does not, and what can be wrong with a network's definition."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NETWORK_INVALID = reason(
    "network.invalid",
    "the definition of this network does not hold together",
    fix="Correct the named field and apply the file again; nothing of it was applied.",
    status=422,
)
NETWORK_UNKNOWN = reason(
    "network.unknown",
    "there is no such network",
    fix="List the networks with `troth network list`; define one under `networks:` and apply it.",
    status=404,
)
NETWORK_NONE = reason(
    "radius.admission.no_network",
    "no network is defined for what was joined",
    fix="Look at SSID, access server and port type in the conversation, and define a network that matches them.",
    status=403,
)
METHOD_REFUSED = reason(
    "radius.admission.method",
    "the network does not take this way of proving who one is",
    fix="Use a method that the network names under `methods:`, or name it there.",
    status=403,
)
TLS_VERSION = reason(
    "radius.admission.tls_version",
    "the network does not take this version of TLS",
    fix="Allow the version under `tls:`, or have the supplicant use another.",
    status=403,
)
NO_CERTIFICATE = reason(
    "radius.admission.no_certificate",
    "the supplicant showed no certificate",
    fix="Give the device a certificate of a profile that the network admits.",
    status=403,
)
CHAIN_REFUSED = reason(
    "radius.admission.chain",
    "no anchor of the network vouches for the certificate",
    fix="The detail says which link does not hold. Name the authority under `authorities:` or the anchor under "
    "`anchors:`, or give the device a certificate of one that stands there.",
    status=403,
)
PROFILE_REFUSED = reason(
    "radius.admission.profile",
    "certificates of this profile are not admitted to the network",
    fix="Give the device a certificate of a profile that the network admits, or name the profile under `profiles:`.",
    status=403,
)
FOREIGN_REVOKED = reason(
    "radius.admission.foreign_revoked",
    "the issuer's revocation list names the certificate",
    fix="Have its issuer give the device a new one.",
    status=403,
)
FOREIGN_UNCHECKED = reason(
    "radius.admission.foreign_unchecked",
    "no revocation list of the certificate's issuer is in force here",
    fix="Hand one over with `troth network crl`, or let the network take such certificates with `revocation: open`.",
    status=403,
)
FOREIGN_NAMELESS = reason(
    "radius.admission.foreign_nameless",
    "the certificate holds no name by which the network knows its guests",
    fix="Look at `foreign: identity:` of the network, and at the names in the certificate.",
    status=403,
)
FOREIGN_STRANGER = reason(
    "radius.admission.foreign_stranger",
    "the name in the certificate means nobody here",
    fix="Make the subject known in a directory, or let the network take guests with `foreign: as: guest`.",
    status=403,
)
NOWHERE = reason(
    "radius.admission.nowhere",
    "there is no place in the network for this outcome",
    fix="Name one under `places:` of the network, or `network:` in the policy. Else the port's own would be given.",
    status=403,
)
STALE = reason(
    "radius.admission.stale",
    "this server has lost touch with what is trusted now, and the network lets nobody in on old news",
    fix="See why the worker does not follow: `troth status`. `stale:` of the network says what it does meanwhile.",
    status=503,
)
FENCED = reason(
    "radius.admission.fenced",
    "after a restore, nobody vouches for what was lost until a person decides",
    fix="Decide with `troth recovery`; until then nobody is let in.",
    status=503,
)
BREAKER = reason(
    "radius.admission.breaker",
    "too many that were let in before would now be refused for one reason; the last word is taken for a while",
    fix="Look at the finding: if the refusals are right, say so with `troth network breaker NAME --off`.",
    status=200,
)
CONVERSATION_UNKNOWN = reason(
    "radius.conversation.unknown",
    "no conversation of that id is kept",
    fix="List what is kept with `troth radius conversations`.",
    status=404,
)
UNREADABLE = reason(
    "radius.admission.unreadable",
    "what is known of a device cannot be read just now",
    fix="Look at the database, and at the sources that the detail names; it is tried again by itself.",
    status=503,
)
CRL_REFUSED = reason(
    "network.crl_refused",
    "this is no revocation list that the anchor vouches for",
    fix="Hand over the complete CRL of an issuer below an anchor that the network names, signed by it and in force.",
    status=422,
)
CRL_UNFETCHED = reason(
    "network.crl_unfetched",
    "a revocation list of others could not be fetched; the one that is here stays in force until it ends",
    fix="See `troth network crl-sources`: its host must be under egress.hosts, and give the complete list in DER.",
    status=502,
)


class NetworkError(TrothError):
    """Something is wrong with a network or what is asked of it."""


class NetworkInvalid(NetworkError):
    """A definition that cannot be taken."""


class NetworkUnknown(NetworkError):
    """No network of that name."""
