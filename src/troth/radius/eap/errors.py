"""Why a conversation ends without success, or a packet of it is passed over."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

_SUPPLICANT = "Look at the device's own EAP settings; the conversation's timeline has what it sent."

MALFORMED = reason(
    "radius.eap.malformed", "what the device sent is not an EAP response that is due here", fix=_SUPPLICANT
)
IDENTIFIER = reason(
    "radius.eap.identifier",
    "the response answers another request than the last one",
    fix="Nothing: it is passed over, and the device or its access server says it again.",
)
UNKNOWN_STATE = reason(
    "radius.eap.unknown_state",
    "the State attribute belongs to no conversation that is still open here",
    fix="The device tries again by itself. If it happens often, raise the access server's RADIUS time limit, and see "
    "that it keeps asking the same server within a conversation.",
)
OTHER_METHOD = reason(
    "radius.eap.other_method",
    "the device wants another EAP method than EAP-TLS",
    fix="Configure the device for EAP-TLS with its certificate; networks with passwords need a proxy target.",
)
FRAGMENTS = reason("radius.eap.fragments", "the fragments of a TLS message do not fit together", fix=_SUPPLICANT)
TOO_LONG = reason(
    "radius.eap.too_long",
    "a TLS message or the whole conversation is longer than any that succeeds",
    fix="Give the device a shorter certificate chain: leaf and intermediates, without the root.",
)
TIMED_OUT = reason(
    "radius.eap.timed_out",
    "the device did not go on in time",
    fix="Look at the radio link and at prompts on the device; it tries again by itself.",
)
OVERLOADED = reason(
    "radius.eap.overloaded",
    "more conversations are open than this worker keeps",
    fix="Look for a device or access server that begins many and ends none; else add workers.",
)
NO_NETWORK = reason(
    "radius.eap.no_network",
    "the network has no TLS context here: it does not let in by EAP-TLS, or it was removed",
    fix="See `troth get networks`, and whether its anchors could be read.",
)
NO_IDENTITY = reason(
    "radius.eap.no_identity",
    "this RADIUS server has no certificate in force",
    fix="See `troth radius identity`: the worker makes it; a certificate of your own stands in `radius.certificate`.",
    status=404,
)
UNUSABLE_IDENTITY = reason(
    "radius.identity.unusable",
    "the RADIUS server's certificate or key cannot be used",
    fix="The detail has what is wrong. `radius.certificate` is PEM, leaf first; `radius.key` its unencrypted "
    "private key, readable for the RADIUS role alone.",
    status=503,
)
NO_PEER_CERTIFICATE = reason(
    "radius.tls.no_certificate",
    "the device showed no certificate",
    fix="Enrol the device, or choose the certificate in its network settings.",
)
UNKNOWN_CA = reason(
    "radius.tls.unknown_ca",
    "the device's certificate leads to none of the network's trust anchors",
    fix="Enrol the device with an authority of the network, or add its authority to the network's anchors. A missing "
    "intermediate looks the same: the device must send its chain.",
)
EXPIRED = reason("radius.tls.expired", "the device's certificate has expired", fix="Renew the device's certificate.")
NOT_YET_VALID = reason(
    "radius.tls.not_yet_valid",
    "the device's certificate is not valid yet",
    fix="Compare the clocks of this server and of the authority that issued it.",
)
WRONG_PURPOSE = reason(
    "radius.tls.wrong_purpose",
    "the device's certificate is not one for clients",
    fix="Issue it from a profile with the extended key usage clientAuth.",
)
REVOKED = reason(
    "radius.tls.revoked",
    "the device's certificate is revoked or on hold",
    fix="See `troth why` for who did it and why; a held certificate works again once its causes are cleared.",
)
REFUSED_LEAF = reason(
    "radius.tls.refused",
    "the device's certificate is not one that this network admits",
    fix="See `troth why` with the certificate's serial number.",
)
BAD_CHAIN = reason(
    "radius.tls.bad_chain",
    "the device's certificate chain does not verify",
    fix="The detail has what is wrong with it; enrol the device anew.",
)
BAD_PROOF = reason(
    "radius.tls.bad_proof",
    "the device did not prove that it holds its certificate's key",
    fix="See that the device has the key that belongs to the certificate; it may have been restored without it.",
)
NOTHING_IN_COMMON = reason(
    "radius.tls.nothing_in_common",
    "device and network have no TLS version, cipher suite or signature in common",
    fix="Allow TLS 1.2 for the network, or update the device. One that offers the group X25519 alone cannot use a "
    "P-256 server certificate under TLS 1.2.",
)
PEER_ALERT = reason(
    "radius.tls.refused_by_device",
    "the device ended the handshake",
    fix="Mostly the device does not trust this server: give it the CA certificate and the name that `troth radius "
    "identity` shows.",
)
BAD_TLS = reason("radius.tls.broken", "what the device sent is not sound TLS", fix=_SUPPLICANT)
DENIED = reason(
    "radius.eap.denied",
    "the device proved its certificate, and was not let in",
    fix="The decision has the condition that failed: `troth why`.",
)
ENGINE = reason(
    "radius.tls.engine",
    "the TLS library does not do what EAP-TLS needs",
    fix="Install the versions of cryptography and pyOpenSSL that Troth names.",
    status=503,
)


class EapRefused(TrothError):
    """What came is not an EAP packet that can be answered."""


class IdentityUnusable(TrothError):
    """The server's certificate or key cannot be used."""


class EngineUnfit(TrothError):
    """OpenSSL or its binding lacks what this room cannot do without."""
