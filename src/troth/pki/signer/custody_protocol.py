"""Messages about custodians: how they are, and what opens them."""

from __future__ import annotations

from typing import Any

import msgspec

from troth.pki.keys.keyring import CustodianState, KeyTrouble


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    n: int


class Custody(_Message, frozen=True, tag="custody"):
    """How every custodian is, and which keys cannot be used now."""


class Unseal(_Message, frozen=True, tag="unseal"):
    """Open a sealed custodian with its secret, put together again from its shares. The secret is kept in memory."""

    custodian: str
    secret: bytes

    def __repr__(self) -> str:
        # A message may end in a log line or a traceback; the secret in it must not.
        return f"Unseal(n={self.n}, custodian={self.custodian!r}, secret=…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("n", self.n), ("custodian", self.custodian)]


class TakeKey(_Message, frozen=True, tag="take_key"):
    """Keep an issuing key that was made elsewhere: PrivateKeyInfo, DER. It signs nothing until it is attached."""

    pkcs8: bytes

    def __repr__(self) -> str:
        return f"TakeKey(n={self.n}, pkcs8=…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("n", self.n)]


class AdoptKey(_Message, frozen=True, tag="adopt_key"):
    """Take an issuing key that a custodian holds already, by its label there."""

    custodian: str
    label: str


class CustodyReport(_Message, frozen=True, tag="custody_report"):
    """The answer to :class:`Custody`."""

    custodians: list[CustodianState]
    troubles: list[KeyTrouble]
