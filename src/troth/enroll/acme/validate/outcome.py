"""What a validation is asked, and what it answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.kit.canonical import Json
from troth.kit.errors import Reason


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge to hold against the network.

    Attributes:
        type: ``http-01``, ``dns-01``, ``tls-alpn-01``, ``dns-account-01`` or ``dns-persist-01``.
        identifier: ``dns`` (A-labels, lower case, no ``*.``) or ``ip`` (canonical text).
        token: base64url, at least 128 bits of chance.
        key_authorization: ``token.thumbprint`` (RFC 8555, 8.1).
        account_uri: the account's URL under the open root of its directory.
        label: of dns-account-01, with its ``_``.
        issuers: names under which this server is known, for dns-persist-01.
        thumbprints: of the account's keys, its present one first, for dns-persist-01.
        plain_uris: a dns-persist-01 record may name the account by its URL, too.
        wildcard: ``*.`` was asked for.
        subdomains: the proof is to hold for all names below as well (RFC 9444).
        caa: whether CAA is to be looked at.
        asked_at: seconds since 1970.
    """

    type: str
    identifier: Identifier
    token: str
    key_authorization: str
    account_uri: str = ""
    label: str = ""
    issuers: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    plain_uris: bool = True
    wildcard: bool = False
    subdomains: bool = False
    caa: bool = False
    asked_at: float = 0.0

    @property
    def wide(self) -> bool:
        """Whether more than the one name is proved."""
        return self.wildcard or self.subdomains

    def digest(self) -> bytes:
        """SHA-256 of the key authorization."""
        return hashlib.sha256(self.key_authorization.encode("ascii")).digest()

    def digest_text(self) -> str:
        """The digest in base64url, as dns-01 publishes it."""
        return base64.urlsafe_b64encode(self.digest()).rstrip(b"=").decode("ascii")

    def matches(self, text: bytes) -> bool:
        """Whether ``text`` is the key authorization, in time that does not depend on where they differ."""
        return hmac.compare_digest(text, self.key_authorization.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One thing that was tried on the way, for the record of the authorization.

    Attributes:
        target: URL, name or ``address:port``.
        address: the address connected to, if any.
        result: in a few words.
    """

    target: str
    address: str | None
    result: str

    def json(self) -> dict[str, Json]:
        """As stored with the challenge."""
        return {"target": self.target, "address": self.address, "result": self.result}


@dataclass(frozen=True, slots=True)
class Valid:
    """Control was shown; ``until``: for no longer than this (seconds since 1970), where the proof itself says so."""

    record: tuple[Attempt, ...]
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Invalid:
    """Control was not shown.

    Attributes:
        problem: for ``challenge.error``.
        retryable: whether the same validation may well pass a little later (no connection, no answer from DNS).
        record: what was tried.
    """

    problem: AcmeProblem
    retryable: bool
    record: tuple[Attempt, ...]


@dataclass(slots=True)
class Log:
    """The attempts of one validation as they are made: what is known even if its time runs out."""

    attempts: list[Attempt] = field(default_factory=list)

    def add(self, target: str, address: str | None, result: str) -> None:
        """Note one attempt."""
        self.attempts.append(Attempt(target, address, result))


class NotShown(Exception):
    """Raised inside a method; the validator makes an :class:`Invalid` of it."""

    def __init__(self, reason: Reason, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retryable = retryable
