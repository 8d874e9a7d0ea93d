"""External account binding (RFC 8555, 7.3.4): the JWS in newAccount by which an operator's HMAC key vouches for a key.

:func:`read_binding` takes it apart and holds it against the request around it; :meth:`Binding.verify` holds its MAC
against the key. Nothing of it is believed before.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.acme import errors
from troth.enroll.acme.flattened import Flattened, malformed, parse_object
from troth.enroll.acme.problems import AcmeProblem

#: MAC algorithms of RFC 7518, 3.2; a signature algorithm is none (RFC 8555, 7.3.4).
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_MEMBERS = frozenset({"protected", "payload", "signature"})
#: One text for an unknown key id and a wrong MAC: a stranger learns of neither.
_REFUSED = "the key id is not known, or the HMAC key is not the one that belongs to it"


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding that fits its request, its MAC not looked at yet."""

    kid: str
    algorithm: str
    signing_input: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    def verify(self, key: bytes) -> None:
        """Hold the MAC against ``key``. Raises AcmeProblem (unauthorized)."""
        made = hmac.new(key, self.signing_input, _HASHES[self.algorithm]).digest()
        if not hmac.compare_digest(made, self.mac):
            raise refused()


def refused(detail: str = _REFUSED) -> AcmeProblem:
    """The binding is not believed."""
    return AcmeProblem(errors.BINDING_REFUSED, detail)


def read_binding(value: object, *, url: str, key: VerifyingKey) -> Binding:
    """The binding in newAccount's ``externalAccountBinding``.

    Args:
        value: the member, decoded.
        url: the newAccount URL, which the binding must name as well.
        key: the account's key, which the binding must be about.

    Raises AcmeProblem (malformed) for anything that is no such JWS.
    """
    if not isinstance(value, dict) or value.keys() != _MEMBERS:
        malformed("externalAccountBinding must be a flattened JWS: protected, payload and signature")
    parts = Flattened.parse(msgspec.json.encode(value))
    header = parts.header
    algorithm, kid = parts.string("alg"), parts.string("kid")
    if algorithm not in _HASHES:
        malformed("externalAccountBinding: alg must be HS256, HS384 or HS512")
    if "nonce" in header or "jwk" in header:
        malformed("externalAccountBinding must have neither nonce nor jwk")
    if parts.string("url") != url:
        malformed("externalAccountBinding: its url is not that of the request")
    try:
        bound = VerifyingKey.from_jwk(parse_object(parts.payload, "payload of externalAccountBinding"))
    except JoseError as error:
        malformed(f"externalAccountBinding: {error.detail}")
    if bound.thumbprint != key.thumbprint:
        malformed("externalAccountBinding is about another key than the one that signs the request")
    return Binding(kid, algorithm, parts.signing_input, parts.signature)
