"""The JSON objects of RFC 8555 as a client reads them. Unknown members are ignored; missing ones are an error."""

from __future__ import annotations

import msgspec


class Identifier(msgspec.Struct, frozen=True):
    """``dns`` or ``ip`` and its text."""

    type: str
    value: str


class Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 7807, RFC 8555 6.7), as an answer or inside an order or challenge.

    ``reason`` is Troth's own stable code, absent from other servers' documents.
    """

    type: str = "about:blank"
    detail: str = ""
    status: int = 0
    title: str = ""
    instance: str = ""
    reason: str = ""
    identifier: Identifier | None = None
    subproblems: tuple[Problem, ...] = ()
    algorithms: tuple[str, ...] = ()

    @property
    def short_type(self) -> str:
        """``badNonce`` for ``urn:ietf:params:acme:error:badNonce``."""
        return self.type.rpartition(":")[2]


class Meta(
    msgspec.Struct,
    frozen=True,
    rename={"terms_of_service": "termsOfService", "external_account_required": "externalAccountRequired"},
):
    """What a directory says about its server."""

    terms_of_service: str = ""
    website: str = ""
    external_account_required: bool = False
    profiles: dict[str, str] = {}


class Directory(
    msgspec.Struct,
    frozen=True,
    rename={
        "new_nonce": "newNonce",
        "new_account": "newAccount",
        "new_order": "newOrder",
        "revoke_cert": "revokeCert",
        "key_change": "keyChange",
        "renewal_info": "renewalInfo",
    },
):
    """Where things are done (RFC 8555, 7.1.1)."""

    new_nonce: str
    new_account: str
    new_order: str
    revoke_cert: str
    key_change: str = ""
    renewal_info: str = ""
    meta: Meta = Meta()


class Account(msgspec.Struct, frozen=True):
    """An account; ``url`` is its Location, ``created`` whether this request made it."""

    status: str
    contact: tuple[str, ...] = ()
    orders: str = ""
    url: str = ""
    created: bool = False


class Challenge(msgspec.Struct, frozen=True):
    """One way to show control."""

    type: str
    url: str
    status: str
    token: str = ""
    validated: str = ""
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True):
    """What is to be shown for one identifier; ``retry_after`` in seconds, 0 if the server said nothing."""

    identifier: Identifier
    status: str
    challenges: tuple[Challenge, ...]
    expires: str = ""
    wildcard: bool = False
    url: str = ""
    retry_after: float = 0.0

    def challenge(self, type: str) -> Challenge | None:
        """The challenge of ``type``, if it is offered."""
        return next((challenge for challenge in self.challenges if challenge.type == type), None)


class Order(msgspec.Struct, frozen=True, rename={"not_before": "notBefore", "not_after": "notAfter"}):
    """An order; ``url`` is its Location; ``retry_after`` in seconds, 0 if the server said nothing."""

    status: str
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str = ""
    expires: str = ""
    not_before: str = ""
    not_after: str = ""
    profile: str = ""
    replaces: str = ""
    error: Problem | None = None
    url: str = ""
    retry_after: float = 0.0
