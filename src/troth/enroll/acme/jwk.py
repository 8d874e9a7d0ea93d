"""Which public keys may hold an ACME account (or be certified): kind, size, and none that is known to be broken.

Parsing a JWK costs ten microseconds and checking an RSA modulus hundreds, and every request of an account names the
same key; :class:`AccountKeys` therefore remembers the keys it has passed.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.enroll.acme.errors import JWS_KEY
from troth.enroll.acme.problems import AcmeProblem
from troth.pki.algorithms import PublicKey
from troth.pki.errors import KeyRefused
from troth.pki.keycheck import check_offered


def weakness_of(key: object) -> str | None:
    """Why ``key`` (a public key of ``cryptography``) must not be trusted, as a sentence; None if nothing is known.

    The same rules as for keys that are certified: ``pki.keycheck``.
    """
    if not isinstance(key, PublicKey):
        return f"{type(key).__name__} is no key of a kind that is accepted"
    try:
        check_offered(key)
    except KeyRefused as refusal:
        return refusal.detail
    return None


class AccountKeys:
    """Public keys parsed and passed before, at most ``size`` of them, the least recently used dropped first."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._known: OrderedDict[bytes, VerifyingKey] = OrderedDict()

    def stored(self, jwk: bytes) -> VerifyingKey:
        """The key of an account, from the JSON that was stored when the account was made."""
        found = self._known.get(jwk)
        if found is not None:
            self._known.move_to_end(jwk)
            return found
        return self._keep(jwk, VerifyingKey.from_jwk(msgspec.json.decode(jwk)))

    def offered(self, jwk: object) -> VerifyingKey:
        """The key in a ``jwk`` header. Raises AcmeProblem (badPublicKey) for what must not hold an account."""
        try:
            key = VerifyingKey.from_jwk(jwk)
        except JoseError as error:
            raise AcmeProblem(JWS_KEY, error.detail) from None
        encoded = encode_jwk(key)
        found = self._known.get(encoded)
        if found is not None:
            self._known.move_to_end(encoded)
            return found
        weakness = weakness_of(key.public_key)
        if weakness is not None:
            raise AcmeProblem(JWS_KEY, weakness)
        return self._keep(encoded, key)

    def _keep(self, encoded: bytes, key: VerifyingKey) -> VerifyingKey:
        self._known[encoded] = key
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return key


def encode_jwk(key: VerifyingKey) -> bytes:
    """The JSON under which an account's key is stored: required members only, in RFC 7638 order."""
    return msgspec.json.encode(key.jwk)
