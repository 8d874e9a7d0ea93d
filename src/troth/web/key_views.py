"""Keys and their custodians, as the API shows them. Nothing here is secret."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class TroubleView(Struct, frozen=True):
    """Why a key or a custodian cannot be used now."""

    code: str
    detail: str
    since: datetime | None


class KeyView(Struct, frozen=True):
    """A key of the signer.

    Attributes:
        purpose: ``issuing``, or what else the signer makes keys for.
        sha256: of the public key (SubjectPublicKeyInfo), in hexadecimal.
        authority: subject of the certificate that it is bound to; None while it is bound to none and signs nothing.
        custodian: ``software``, or ``<kind>:<name>``.
        evidence: what its custodian said of it when it was made.
        trouble: None while it can be used.
    """

    key_id: str
    purpose: str
    algorithm: str
    sha256: str
    created: datetime
    authority: str | None
    custodian: str
    evidence: dict[str, str]
    trouble: TroubleView | None
    public_key_pem: str


class CustodianView(Struct, frozen=True):
    """Who holds keys. ``state``: ``ready``, ``sealed`` or ``down``; ``orphans``: keys there without a record here."""

    name: str
    state: str
    algorithms: tuple[str, ...]
    keys: int
    trouble: TroubleView | None
    orphans: tuple[str, ...] = ()


class KeysView(Struct, frozen=True):
    """All custodians and all keys."""

    custodians: tuple[CustodianView, ...]
    keys: tuple[KeyView, ...]


class KeyTest(Struct, frozen=True):
    """A key has signed a nonce, and the signature verified."""

    key_id: str
    milliseconds: float
