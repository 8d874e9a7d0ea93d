"""What goes wrong at the client's side of ACME and in JOSE."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

JOSE_ENCODING = reason(
    "jose.encoding",
    "the text is not canonical base64url without padding",
    fix="Encode with the alphabet of RFC 4648, section 5, without '=' and without stray bits.",
)
JOSE_KEY = reason(
    "jose.key",
    "the JSON Web Key is not a public key of a known kind",
    fix="Use an EC key on P-256, P-384 or P-521, an RSA key, or Ed25519.",
)
JOSE_ALGORITHM = reason(
    "jose.algorithm",
    "the signature algorithm does not fit the key",
    fix="P-256 signs with ES256, P-384 with ES384, P-521 with ES512, RSA with RS256, Ed25519 with EdDSA.",
)
JOSE_SIGNATURE = reason(
    "jose.signature",
    "the signature does not verify",
    fix="Check that key and signed bytes belong together.",
)
JWKS_NO_KEY = reason(
    "jose.no_key",
    "the issuer has no key of this id",
    fix="Publish the key in the issuer's key set, under the `kid` that the token names.",
    status=401,
)
JWKS_ABSENT = reason(
    "jose.no_keys",
    "the issuer's keys cannot be had",
    fix="Check that its key set is reachable from here, that it is a JWK set, and that egress.hosts allows it.",
    status=502,
)
TRANSPORT = reason(
    "client.transport",
    "the server could not be reached or did not speak HTTP/1.1",
    fix="Check the URL, the network and the trusted root certificate.",
    status=502,
)
TARGET = reason(
    "client.target",
    "a server sends this client where it does not go",
    fix="Look at the address that the certificate names for its status: link-local and metadata services are "
    "never asked, and this machine itself only if the issuer runs on it.",
    status=403,
)
ACME_REFUSED = reason(
    "client.acme.refused",
    "the ACME server refused the request",
    fix="Read the problem document; Troth's own servers put a reason code in it.",
    status=502,
)
CERT_ID = reason(
    "client.acme.cert_id",
    "renewal information cannot be asked for or read with this",
    fix="Name a certificate by base64url(authority key identifier), a dot and base64url(serial number), RFC 9773, 4.1.",
)
ACME_ANSWER = reason(
    "client.acme.answer",
    "the ACME server's answer is not what RFC 8555 promises",
    fix="Check that the directory URL belongs to an ACME server.",
    status=502,
)
ACME_TIMEOUT = reason(
    "client.acme.timeout",
    "the ACME server did not reach a final state in time",
    fix="Look at the order's page on the server; poll longer.",
    status=504,
)
OCSP_ANSWER = reason(
    "client.ocsp.answer",
    "the OCSP responder gave no answer that can be believed",
    fix="Check that the responder runs, and that it and the certificate belong to the same authority.",
    status=502,
)
EST_REFUSED = reason(
    "client.est.refused",
    "the EST server refused the request",
    fix="Its code or first line is in the message; Troth's own servers log the same code.",
    status=502,
)
EST_WAITS = reason(
    "client.est.waits",
    "the EST server asks for the same request again later",
    fix="Nothing was refused. Send it again after the time in Retry-After.",
    status=503,
)
EST_ANSWER = reason(
    "client.est.answer",
    "the EST server's answer is not what RFC 7030 promises",
    fix="Check that the URL is an EST server's: https://HOST/.well-known/est, or /LABEL behind it.",
    status=502,
)


class JoseError(TrothError):
    """A JOSE value is malformed, or a signature does not hold."""


class TransportError(TrothError):
    """No answer was got, or none that is HTTP."""
