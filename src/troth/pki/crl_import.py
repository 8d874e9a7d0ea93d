"""CRLs that were signed elsewhere: an offline root's."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from troth.kit.clock import Clock
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.crl_store import CrlStore
from troth.pki.crl_units import publish_unit, reserve_unit
from troth.pki.errors import CRL_WRONG, CrlRefused
from troth.pki.model import Crl
from troth.store.pool import Database


async def import_crl(database: Database, authority: Authority, der: bytes, clock: Clock) -> Crl:
    """Publish a complete CRL that was signed elsewhere. Raises CrlRefused unless it is that authority's.

    One that says it is limited to a distribution point must name the address where it will be served, or somebody
    has put one shard's CRL in another's place (RFC 5280, 6.3.3 b 2 i).
    """
    parsed, number, next_update, point = check_crl(authority, der)
    tbs_sha256 = hashlib.sha256(parsed.tbs_certlist_bytes).digest()
    encoded = parsed.public_bytes(Encoding.DER)
    crl = Crl(
        authority.slug,
        0,
        "full",
        number,
        None,
        parsed.last_update_utc,
        next_update,
        len(parsed),
        len(encoded),
        hashlib.sha256(tbs_sha256 + parsed.signature).digest(),
        (encoded, b""),
        point=point,
    )
    standing = await CrlStore(database).standing(authority.slug, 0)
    await database.commit(reserve_unit(crl, tbs_sha256, point, crl.this_update, True, clock.now()))
    await database.commit(publish_unit(crl, tbs_sha256, standing))
    return crl


def check_crl(authority: Authority, der: bytes) -> tuple[x509.CertificateRevocationList, int, datetime, str | None]:
    """A complete CRL of ``authority``, its number, its end and the point that it is limited to. Raises CrlRefused."""
    try:
        parsed = x509.load_der_x509_crl(der)
        extensions = parsed.extensions
        number = extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        _verify(authority.public_key, parsed)
    except (ValueError, UnsupportedAlgorithm, x509.ExtensionNotFound, InvalidSignature) as error:
        raise CrlRefused(CRL_WRONG, f"not a CRL of {authority.slug}") from error
    if parsed.issuer != authority.x509.subject or parsed.next_update_utc is None or not 0 < number < 1 << 63:
        raise CrlRefused(CRL_WRONG, f"not a CRL of {authority.slug}")
    return parsed, number, parsed.next_update_utc, _point(extensions, authority)


def _verify(key: algorithms.PublicKey, crl: x509.CertificateRevocationList) -> None:
    """Raise InvalidSignature unless ``key`` signed it: with our hash for its kind, or with the one it names."""
    if algorithms.verifies(key, crl.signature, crl.tbs_certlist_bytes):
        return
    classical = isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    if not classical or not crl.is_signature_valid(key):
        raise InvalidSignature


def _point(extensions: x509.Extensions, authority: Authority) -> str | None:
    kinds = {type(extension.value) for extension in extensions}
    if x509.DeltaCRLIndicator in kinds:
        raise CrlRefused(CRL_WRONG, "a delta CRL is published with its base only")
    if x509.IssuingDistributionPoint not in kinds:
        return None
    point = extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    limited = (
        point.only_contains_user_certs or point.only_contains_attribute_certs or point.only_some_reasons is not None
    )
    if point.indirect_crl or limited:
        raise CrlRefused(CRL_WRONG, "it does not cover what the authority issued")
    names = [] if point.full_name is None else [str(name.value) for name in point.full_name]
    if authority.crl_url is None or authority.crl_url not in names:
        raise CrlRefused(CRL_WRONG, f"its distribution point is not {authority.crl_url}")
    return authority.crl_url
