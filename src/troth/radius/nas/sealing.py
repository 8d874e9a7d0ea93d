"""Secrets of access servers: how they are made, what is taken for one, and how they are kept.

Sealed with a key of the data directory (``secrets/nas.secret``); what a secret is bound to is its access server and its
kind, so rows cannot be swapped.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from troth.kit.errors import TrothError
from troth.kit.log import get_logger
from troth.kit.sealing import SecretBox
from troth.radius.nas.errors import NAS_SECRET, NasError
from troth.radius.nas.model import CoaTarget, Nas, RadsecIdentity
from troth.radius.nas.store import Stored

log = get_logger("radius")

Kind: TypeAlias = Literal["current", "next", "coa"]

LEAST: Final = 16
MOST: Final = 128
#: 32 letters and digits: 190 bits, and no character that any equipment's command line would take for something else.
_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 32


def new_secret() -> bytes:
    """A secret that any equipment takes: 32 letters and digits (RFC 2865 section 3 asks for 16 octets at least)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)).encode()


def taken(secret: bytes) -> bytes:
    """A secret that somebody brings, without the line's end behind it.

    Raises NasError: shorter than 16 octets, longer than 128, with characters that cannot be typed into equipment, or
    one that is hardly more than one character.
    """
    secret = secret.strip(b"\r\n")
    if not LEAST <= len(secret) <= MOST:
        raise NasError(NAS_SECRET, f"{len(secret)} octets; {LEAST} to {MOST} are taken")
    if any(octet < 0x21 or octet == 0x7F for octet in secret):
        raise NasError(NAS_SECRET, "it has spaces or control characters")
    if len(set(secret)) < LEAST // 2:
        raise NasError(NAS_SECRET, "it repeats a few characters: whoever records one packet guesses it")
    return secret


def seal(box: SecretBox, name: str, kind: Kind, secret: bytes) -> bytes:
    """The secret, to be stored."""
    return box.seal(f"{name}/{kind}", secret)


def unseal(box: SecretBox, name: str, kind: Kind, sealed: bytes) -> bytes:
    """The secret. Raises SealBroken."""
    return box.open(f"{name}/{kind}", sealed)


def opened(box: SecretBox, stored: Stored, sealed: Mapping[str, bytes]) -> Nas | None:
    """The access server at work; None if its secrets do not open: it is answered no more, and all others are."""
    definition, kinds = stored.definition, dict[str, bytes]()
    try:
        for kind in ("current", "next", "coa"):
            if kind in sealed:
                kinds[kind] = box.open(f"{stored.name}/{kind}", sealed[kind])
    except TrothError as error:
        log.error("nas.unreadable", nas=stored.name, code=error.code, detail=error.detail)
        return None
    coa, radsec = definition.coa, definition.radsec
    return Nas(
        id=stored.id,
        name=stored.name,
        prefixes=definition.addresses,
        vendor=definition.vendor,
        secrets=(kinds.get("current"), kinds.get("next")),
        require_message_authenticator=definition.require_message_authenticator,
        limit_proxy_state=definition.limit_proxy_state,
        signs=stored.signs_since is not None,
        coa=CoaTarget(coa.address or None, coa.port or None, kinds.get("coa"), coa.unsigned_answers)
        if coa.enabled
        else None,
        max_in_flight=definition.max_in_flight,
        networks=definition.networks,
        site=definition.site or None,
        radsec=RadsecIdentity(radsec.names, radsec.sources, radsec.only) if radsec is not None else None,
        identifier=definition.identifier or None,
    )
