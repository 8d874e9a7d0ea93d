"""Whether what came is what was asked for. Nothing is installed that does not pass; each refusal says expected and got.

A server is trusted to issue, not to be free of mistakes: a certificate for another key would take a service down at
its next reload, hours after the renewal that did it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from troth.agent.config import Identifier
from troth.agent.errors import UNFIT, AgentError
from troth.client.jose import PublicKey

#: How far the server's clock may be ahead of ours.
SKEW = timedelta(minutes=5)
_MOST = 10
_PURPOSES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class Expected:
    """What was asked for. ``anchors`` is PEM: the roots that the chain must lead to."""

    public_key: PublicKey
    identifiers: tuple[Identifier, ...]
    purposes: tuple[str, ...]
    anchors: bytes
    now: datetime


def read_chain(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM chain, leaf first. Raises AgentError."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        pem.decode("ascii")
    except (ValueError, x509.InvalidVersion) as error:
        raise AgentError(UNFIT, f"what came is no chain of certificates: {error}") from None
    if len(found) > _MOST:
        raise AgentError(UNFIT, f"the chain has {len(found)} certificates; {_MOST} is the most")
    return found


def check(pem: bytes, expected: Expected) -> list[x509.Certificate]:
    """The chain in ``pem``, if it is what was asked for. Raises AgentError."""
    chain = read_chain(pem)
    leaf = chain[0]
    _refuse_unless(_spki(leaf) == _octets(expected.public_key), "its key is another one than was asked for")
    missing = sorted({one.value for one in expected.identifiers if one.type in ("dns", "ip")} - names_of(leaf))
    _refuse_unless(not missing, f"it is not for {', '.join(missing)}; it is for {', '.join(sorted(names_of(leaf)))}")
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if begins > expected.now + SKEW:
        # Not its fault but a clock's; when the clock is right it will fit.
        detail = f"it begins {begins:%Y-%m-%d %H:%M}, and here it is {_now(expected)}"
        raise AgentError(UNFIT, detail, early=True)
    _refuse_unless(ends > expected.now, f"it ended {ends:%Y-%m-%d %H:%M}, and here it is {_now(expected)}")
    held = _purposes(leaf)
    for purpose in expected.purposes:
        wanted = _PURPOSES[purpose]
        _refuse_unless(held is None or wanted in held, f"it is not for a {purpose}: {_dotted(held)}")
    _verify(chain, expected)
    return chain


def names_of(leaf: x509.Certificate) -> set[str]:
    """The DNS names and IP addresses of ``leaf``."""
    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    found = {name.lower() for name in held.get_values_for_type(x509.DNSName)}
    return found | {str(ip_address(str(one))) for one in held.get_values_for_type(x509.IPAddress)}


def _verify(chain: list[x509.Certificate], expected: Expected) -> None:
    leaf, rest = chain[0], chain[1:]
    try:
        store = Store(x509.load_pem_x509_certificates(expected.anchors))
    except ValueError as error:
        raise AgentError(UNFIT, f"there is no root to hold it against: {error}") from None
    # The library's defaults are the web's: they refuse a device's certificate for having no DNS name. What must hold
    # of the leaf is checked above; of the authorities, that they are some.
    any_leaf = ExtensionPolicy.permit_all()
    authorities = any_leaf.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    builder = PolicyBuilder().store(store).time(_at(leaf, expected.now)).max_chain_depth(_MOST)
    verifier = builder.extension_policies(ca_policy=authorities, ee_policy=any_leaf).build_client_verifier()
    try:
        verifier.verify(leaf, rest)
    except VerificationError as error:
        raise AgentError(UNFIT, f"its chain does not lead to a trusted root: {error}") from error


def _at(leaf: x509.Certificate, now: datetime) -> datetime:
    """When to judge the chain: now, or the leaf's first moment if our clock is a little behind the server's."""
    return max(now, leaf.not_valid_before_utc).replace(tzinfo=None)


def _purposes(leaf: x509.Certificate) -> list[x509.ObjectIdentifier] | None:
    try:
        return list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _dotted(held: list[x509.ObjectIdentifier] | None) -> str:
    return ", ".join(one.dotted_string for one in held or ())


def _spki(leaf: x509.Certificate) -> bytes:
    return leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _octets(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _now(expected: Expected) -> str:
    return f"{expected.now:%Y-%m-%d %H:%M} by this machine's clock"


def _refuse_unless(holds: bool, detail: str) -> None:
    if not holds:
        raise AgentError(UNFIT, detail)
