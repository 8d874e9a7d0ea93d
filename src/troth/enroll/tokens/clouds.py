"""Signed documents of AWS and Azure about an instance. By their documentation; neither was tried live.

AWS (``/latest/dynamic/instance-identity/rsa2048``): the signer's certificate is not sent along, it is published by
region and pinned in a file. The document never changes while the instance lives, so it counts once for each instance
and only for a while after its start, before anybody else can have had it.

Azure (``/metadata/attested/document``): the signer's certificate comes along and must lead to a pinned root and be for
the metadata service's name; the document says until when it is good.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from troth.enroll.acme.flattened import parse_object
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.tokens import cms
from troth.enroll.tokens.errors import (
    TOKEN_CLAIM,
    TOKEN_KEYS,
    TOKEN_MALFORMED,
    TOKEN_SIGNATURE,
    TOKEN_TIME,
    TokenRefused,
)
from troth.enroll.tokens.model import Proof
from troth.kit.log import get_logger
from troth.pki.errors import PathRefused
from troth.pki.path import validate_path
from troth.pki.unreadable import UNREADABLE

log = get_logger("enroll")

#: An instance is remembered for longer than it will be asked about.
_REMEMBERED = timedelta(days=3650)
_INSTANCE = re.compile(r"i-[0-9a-f]{8,32}\Z")
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_AZURE_TIME = "%m/%d/%y %H:%M:%S %z"


def certificates_in(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises TokenRefused."""
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        # Where it lies is nothing for a stranger.
        log.error("token.certificates_unreadable", path=path, error=str(error))
        raise TokenRefused(TOKEN_KEYS, "the pinned certificates cannot be read") from error


def aws(
    text: str, pinned: Sequence[x509.Certificate], accounts: Collection[str], *, now: datetime, max_age: timedelta,
    skew: timedelta,
) -> Proof:  # fmt: skip
    """The proof in an instance identity document. Raises TokenRefused."""
    signed = cms.parse(text)
    signer = next((one for one in pinned if signed.signed_by(one)), None)
    if signer is None:
        raise TokenRefused(TOKEN_SIGNATURE, "its signer is none of the pinned certificates")
    signed.verify(signer)
    claims = _document(signed.content)
    account, instance = _text(claims, "accountId"), _text(claims, "instanceId")
    if account not in accounts:
        raise TokenRefused(TOKEN_CLAIM, f"account {account[:20]} is not configured")
    if not _INSTANCE.match(instance):
        raise TokenRefused(TOKEN_CLAIM, "instanceId is none")
    started = _time(_text(claims, "pendingTime"), "%Y-%m-%dT%H:%M:%S%z")
    _in_time(started, now, max_age, skew, "the instance started")
    subject = f"aws:{account}:{_text(claims, 'region')}:{instance}"
    return Proof(subject, claims, hashlib.sha256(subject.encode()).digest(), now + _REMEMBERED)


def azure(
    text: str, known: Sequence[x509.Certificate], host: str, subscriptions: Collection[str], *, now: datetime,
    max_age: timedelta, skew: timedelta,
) -> Proof:  # fmt: skip
    """The proof in an attested document. ``known``: roots and authorities in between. Raises TokenRefused."""
    signed = cms.parse(text)
    leaf = _azure_signer(signed, known, host, now)
    signed.verify(leaf)
    claims = _document(signed.content)
    machine, subscription = _text(claims, "vmId"), _text(claims, "subscriptionId")
    if subscription not in subscriptions:
        raise TokenRefused(TOKEN_CLAIM, f"subscription {subscription[:40]} is not configured")
    stamp = claims.get("timeStamp")
    if not isinstance(stamp, dict):
        raise TokenRefused(TOKEN_CLAIM, "timeStamp is missing")
    made, ends = _time(_text(stamp, "createdOn"), _AZURE_TIME), _time(_text(stamp, "expiresOn"), _AZURE_TIME)
    if now >= ends + skew:
        raise TokenRefused(TOKEN_TIME, "it has expired")
    _in_time(made, now, max_age, skew, "it was made")
    digest = hashlib.sha256(signed.content).digest()
    return Proof(f"azure:{subscription}:{machine}", claims, digest, ends + skew)


def _azure_signer(signed: cms.Signed, known: Sequence[x509.Certificate], host: str, now: datetime) -> x509.Certificate:
    """The certificate that signed, once it leads to a pinned root and is the metadata service's."""
    try:
        sent = [x509.load_der_x509_certificate(one) for one in signed.certificates[:8]]
        for one in sent:  # read now what is read lazily
            _ = one.subject, one.issuer, one.extensions, one.public_key()
    except UNREADABLE as error:
        raise TokenRefused(TOKEN_MALFORMED, "a certificate in it cannot be read") from error
    leaf = next((one for one in sent if signed.signed_by(one)), None)
    if leaf is None:
        raise TokenRefused(TOKEN_SIGNATURE, "its signer's certificate is not in it")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        hosts = []
    if not any(name == host or name.endswith(f".{host}") for name in hosts):
        raise TokenRefused(TOKEN_SIGNATURE, f"its signer is not {host}")
    chain, pool = [leaf], [*sent, *known]
    while len(chain) < 6:
        if chain[-1].issuer == chain[-1].subject:
            break
        above = next((one for one in pool if one.subject == chain[-1].issuer and one not in chain), None)
        if above is None:
            break
        chain.append(above)
    root = chain.pop() if len(chain) > 1 else leaf
    if root not in known or root.issuer != root.subject:
        raise TokenRefused(TOKEN_SIGNATURE, "its signer leads to no pinned root")
    try:
        validate_path(chain, root, at=now, purpose=_SERVER_AUTH)
    except PathRefused as error:
        raise TokenRefused(TOKEN_SIGNATURE, f"its signer: {error.detail}") from error
    return leaf


def _document(content: bytes) -> dict[str, Any]:
    try:
        return parse_object(content, "document")
    except AcmeProblem as error:
        raise TokenRefused(TOKEN_MALFORMED, error.detail) from error


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise TokenRefused(TOKEN_CLAIM, f"{name} is missing")
    return value


def _time(text: str, form: str) -> datetime:
    try:
        return datetime.strptime(text, form).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TokenRefused(TOKEN_CLAIM, "a time cannot be read") from error


def _in_time(moment: datetime, now: datetime, max_age: timedelta, skew: timedelta, what: str) -> None:
    if moment > now + skew:
        raise TokenRefused(TOKEN_TIME, "it is from the future")
    if now >= moment + max_age + skew:
        raise TokenRefused(TOKEN_TIME, f"{what} more than {int(max_age.total_seconds())} s ago")
