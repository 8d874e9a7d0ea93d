"""A root's CRL from the plan: what was revoked stays revoked, and numbers only grow."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from troth.pki import algorithms
from troth.pki.ceremony.certificates import issuer_key_id
from troth.pki.ceremony.errors import PARENT, PlanRefused
from troth.pki.ceremony.inputs import public_key_of
from troth.pki.ceremony.parents import check_issuer
from troth.pki.ceremony.plan import CrlPlan, utc
from troth.pki.crl_der import crl_entry, crl_tbs
from troth.pki.serial import SerialNumber


def root_crl_tbs(plan: CrlPlan, issuer: x509.Certificate, previous: x509.CertificateRevocationList | None) -> bytes:
    """DER TBSCertList. Raises PlanRefused when it does not follow upon ``previous``."""
    check_issuer(issuer, signs_crls=True)
    key = public_key_of(issuer, "the issuer")
    if utc(plan.next_update) > issuer.not_valid_after_utc or utc(plan.this_update) < issuer.not_valid_before_utc:
        raise PlanRefused(PARENT, "the CRL lies outside the validity of its issuer's certificate")
    if previous is not None:
        _follows(plan, issuer, key, previous)
    ordered = sorted(plan.revoked, key=lambda entry: (utc(entry.at), int(entry.serial, 16)))
    return crl_tbs(
        issuer_name=issuer.subject.public_bytes(),
        issuer_key=key,
        issuer_key_id=issuer_key_id(issuer),
        number=plan.number,
        this_update=utc(plan.this_update),
        next_update=utc(plan.next_update),
        entries=b"".join(crl_entry(_serial(one.serial), _second(utc(one.at)), one.reason) for one in ordered),
    )


def _follows(
    plan: CrlPlan, issuer: x509.Certificate, key: algorithms.PublicKey, previous: x509.CertificateRevocationList
) -> None:
    try:
        number = previous.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        algorithms.verify(key, previous.signature, previous.tbs_certlist_bytes)
    except (ValueError, x509.ExtensionNotFound, InvalidSignature) as error:
        raise PlanRefused(PARENT, "the previous CRL is not of this issuer") from error
    if previous.issuer != issuer.subject:
        raise PlanRefused(PARENT, "the previous CRL is not of this issuer")
    if plan.number <= number or utc(plan.this_update) < previous.last_update_utc:
        raise PlanRefused(PARENT, f"the previous CRL is number {number}; number and date only grow (RFC 5280, 5.2.3)")
    listed = {int(entry.serial, 16): _second(utc(entry.at)) for entry in plan.revoked}
    for entry in previous:
        at = listed.get(entry.serial_number)
        if at is None:
            raise PlanRefused(PARENT, f"{entry.serial_number:x} was revoked and is not in the plan any more")
        if at != entry.revocation_date_utc:
            raise PlanRefused(PARENT, f"{entry.serial_number:x} was revoked on another date than the plan says")


def _serial(text: str) -> SerialNumber:
    """The INTEGER's octets: positive, in the shortest form."""
    value = int(text, 16)
    return SerialNumber(value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
