"""What a last published CRL still tells: numbers that are used up, and revocations that must not be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from troth.kit.ids import new_id
from troth.ops.backup.errors import LAST_CRL, RestoreRefused
from troth.ops.backup.store import RestoreStore
from troth.pki import algorithms
from troth.pki.authorities import Authority
from troth.pki.authority_store import AuthorityStore
from troth.pki.crl_der import crl_entry
from troth.pki.serial import SerialNumber
from troth.store.snapshot import Loader

_UNSPECIFIED, _HOLD = 0, 6
_REASONS = {flag: number for number, flag in enumerate((
    x509.ReasonFlags.unspecified, x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise,
    x509.ReasonFlags.affiliation_changed, x509.ReasonFlags.superseded, x509.ReasonFlags.cessation_of_operation,
    x509.ReasonFlags.certificate_hold,
))}  # fmt: skip


async def keep_last_crls(loader: Loader, crls: Sequence[bytes]) -> tuple[dict[str, int], int]:
    """(highest CRL number by authority, entries that were not in the database as revoked and now are).

    A serial number that is known and good is revoked, or held, as the CRL says. One that nobody remembers gets a row
    of its own, so that CRL and OCSP go on telling of it. Raises RestoreRefused.
    """
    authorities = await AuthorityStore(loader).authorities()
    numbers: dict[str, int] = {}
    kept = 0
    for content in crls:
        crl, authority = _read(content, authorities)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        numbers[authority.slug] = max(number, numbers.get(authority.slug, 0))
        kept += await _keep(loader, authority, crl)
    return numbers, kept


def _read(content: bytes, authorities: Sequence[Authority]) -> tuple[x509.CertificateRevocationList, Authority]:
    try:
        pem = content.lstrip().startswith(b"-----BEGIN")
        crl = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
        crl.extensions.get_extension_for_class(x509.CRLNumber)
        for authority in authorities:
            if crl.issuer == authority.x509.subject:
                algorithms.verify(authority.public_key, crl.signature, crl.tbs_certlist_bytes)
                return crl, authority
    except (ValueError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        raise RestoreRefused(LAST_CRL, str(error)) from error
    raise RestoreRefused(LAST_CRL, f"no authority here is {crl.issuer.rfc4514_string()}")


async def _keep(loader: Loader, authority: Authority, crl: x509.CertificateRevocationList) -> int:
    store = RestoreStore(loader)
    entries: dict[SerialNumber, tuple[datetime, int]] = {}
    for entry in crl:
        entries[_serial(entry.serial_number)] = (entry.revocation_date_utc, _reason(entry))
    known = await store.statuses(list(entries))
    kept = 0
    for serial, (at, reason) in entries.items():
        status = known.get(serial)
        if status == "revoked" or (status == "held" and reason == _HOLD):
            continue
        encoded = crl_entry(serial, at, reason)
        if status is None:
            # "Removed from hold" cannot come back for a certificate that nobody knows: it stays revoked.
            reason = _UNSPECIFIED if reason == _HOLD else reason
            await store.add_stranger(new_id(), authority.slug, serial, at, authority.not_after, reason,
                                     crl_entry(serial, at, reason))  # fmt: skip
        else:
            await store.set_status(serial, "held" if reason == _HOLD else "revoked", at, reason, encoded)
        kept += 1
    return kept


def _serial(number: int) -> SerialNumber:
    return SerialNumber(number.to_bytes((number.bit_length() + 8) // 8, "big"))


def _reason(entry: x509.RevokedCertificate) -> int:
    try:
        return _REASONS.get(entry.extensions.get_extension_for_class(x509.CRLReason).value.reason, _UNSPECIFIED)
    except x509.ExtensionNotFound:
        return _UNSPECIFIED
