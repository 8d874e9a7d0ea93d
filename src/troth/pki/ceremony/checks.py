"""The plan held against itself and the clock: what each kind of ceremony needs, and what it must not say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.pki.ceremony.errors import PLAN_REFUSED, WINDOW, PlanRefused
from troth.pki.ceremony.plan import Ceremony, CertificatePlan, CrlPlan, Custody, Key, Plan, utc
from troth.pki.ceremony.share_files import check_recipients
from troth.pki.ceremony.shares import check_custodians
from troth.pki.keys.algorithm import KeyAlgorithm

LONGEST_WINDOW = timedelta(days=92)
LONGEST_ROOT = timedelta(days=30 * 366)
LONGEST_CRL = timedelta(days=400)
#: removeFromCRL is for delta CRLs; 7 is not assigned (RFC 5280, 5.3.1).
_NO_REASON = frozenset({7, 8})
_ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string

#: Kind → (blocks that must be there, inputs that must be there, inputs that may be).
_SHAPES: Mapping[Ceremony, tuple[frozenset[str], frozenset[str], frozenset[str]]] = {
    Ceremony.ROOT: (frozenset({"certificate"}), frozenset(), frozenset()),
    Ceremony.INTERMEDIATE: (
        frozenset({"certificate"}),
        frozenset({"issuer", "public_key", "public_key_sha256"}),
        frozenset(),
    ),
    Ceremony.CROSS_CERTIFICATE: (frozenset({"certificate"}), frozenset({"issuer", "certificate"}), frozenset()),
    Ceremony.KEY: (frozenset(), frozenset(), frozenset()),
    Ceremony.ROOT_CRL: (frozenset({"crl"}), frozenset({"issuer"}), frozenset({"previous_crl"})),
}
_KEY_FIELDS: Mapping[Custody, frozenset[str]] = {
    Custody.SOFTWARE: frozenset({"sealed", "shares"}),
    Custody.PEM: frozenset({"file", "passphrase"}),
    Custody.PKCS11: frozenset({"module", "token", "serial", "pin", "initial_pin", "label", "existing", "shares"}),
}
_TOKEN_KINDS = frozenset(
    {KeyAlgorithm.P256, KeyAlgorithm.P384, KeyAlgorithm.RSA3072, KeyAlgorithm.RSA4096, KeyAlgorithm.ED25519}
)


def check_plan(plan: Plan, now: datetime) -> None:
    """Raise PlanRefused (or SharesRefused) unless the plan is complete, of one piece, and for now."""
    document = plan.document
    window = document.window
    if not window.begin < window.end <= window.begin + LONGEST_WINDOW:
        raise _refused(f"the window ends after it begins, and within {LONGEST_WINDOW.days} days")
    if not window.begin <= now <= window.end:
        told = f"now is {now:%Y-%m-%d %H:%M} UTC; the plan is for {utc(window.begin):%Y-%m-%d %H:%M} to "
        raise PlanRefused(WINDOW, told + f"{utc(window.end):%Y-%m-%d %H:%M} UTC")
    blocks, needed, allowed = _SHAPES[plan.kind]
    _exactly(plan, {"certificate", "crl"}, blocks, frozenset(), document, "")
    names = set(type(document.inputs).__struct_fields__)
    _exactly(plan, names, needed, allowed, document.inputs, "inputs.")
    _check_key(plan)
    if document.certificate is not None:
        _check_certificate(plan.kind, document.certificate)
    if document.crl is not None:
        _check_crl(document.crl, plan)


def makes_key(plan: Plan) -> bool:
    """Whether the ceremony makes its key, rather than use one that is there."""
    key = plan.document.key
    if key.custody is Custody.PKCS11:
        return plan.kind is Ceremony.KEY or (plan.kind is Ceremony.ROOT and not key.existing)
    return key.custody is Custody.SOFTWARE and key.sealed is None


def _check_key(plan: Plan) -> None:
    key = plan.document.key
    fields = frozenset().union(*_KEY_FIELDS.values())
    foreign = sorted(name for name in fields - _KEY_FIELDS[key.custody] if getattr(key, name) is not None)
    if foreign:
        raise _refused(f"key.{foreign[0]} means nothing with custody {key.custody}")
    made = makes_key(plan)
    if made and plan.kind not in (Ceremony.ROOT, Ceremony.KEY):
        raise _refused(f"{plan.kind} is signed by a key that is there: name it under key")
    if not made and plan.kind is Ceremony.KEY:
        raise _refused("a key ceremony makes a key: leave out where one lies")
    splits = _check_software(key, made) if key.custody is Custody.SOFTWARE else _check_elsewhere(key, made)
    custodians = plan.document.custodians
    if splits != (custodians is not None):
        raise _refused("this ceremony splits a secret: name custodians" if splits else "custodians: nothing is split")
    if custodians is not None:
        check_custodians(custodians)
        check_recipients({one.name: one.recipient for group in custodians.groups for one in group.members})


def _check_software(key: Key, made: bool) -> bool:
    if (key.shares is None) != made:
        raise _refused("key.shares and key.sealed belong together: both for a key that is there, neither to make one")
    return made


def _check_elsewhere(key: Key, made: bool) -> bool:
    if key.custody is Custody.PEM:
        if key.file is None or key.passphrase is None:
            raise _refused("custody pem needs key.file and key.passphrase")
        return False
    if key.algorithm not in _TOKEN_KINDS:
        raise _refused(f"keys of kind {key.algorithm} are not made in PKCS#11 tokens")
    if key.module is None or key.token is None or key.pin is None or key.label is None:
        raise _refused("custody pkcs11 needs key.module, key.token, key.label and key.pin")
    new, shares = key.pin == "new", key.pin == "shares"
    if not new and not shares and not key.pin.startswith("file:"):
        raise _refused("key.pin is file:PATH, shares or new")
    if (key.initial_pin is not None) != new or (key.shares is not None) != shares:
        raise _refused("key.initial_pin goes with pin: new, and key.shares with pin: shares")
    if new and not made:
        raise _refused("pin: new goes with a key that is made")
    return new


def _check_certificate(kind: Ceremony, certificate: CertificatePlan) -> None:
    validity = certificate.validity
    if not validity.begin < validity.end <= validity.begin + LONGEST_ROOT:
        raise _refused("certificate.validity ends after it begins, and within 30 years")
    if any(moment.microsecond for moment in (validity.begin, validity.end)):
        raise _refused("certificate.validity has no fractions of seconds")
    if _ANY_USAGE in certificate.extended_key_usages:
        raise _refused("anyExtendedKeyUsage limits nothing: leave the usages out instead")
    for name in ("extended_key_usages", "policies", "issuer_classes"):
        listed = getattr(certificate, name)
        if len(set(listed)) < len(listed):
            raise _refused(f"certificate.{name} names something twice")
    urls = {name: getattr(certificate, name) for name in ("ca_issuers_url", "ocsp_url", "crl_url")}
    if kind is Ceremony.ROOT:
        told = next((name for name, value in urls.items() if value is not None), None)
        if told or certificate.issuer_classes or certificate.extended_key_usages:
            raise _refused(f"a root has no {told or 'issuer classes or usages'}: nobody stands above it")
    elif urls["ca_issuers_url"] is None or urls["crl_url"] is None:
        raise _refused(f"{kind} needs certificate.ca_issuers_url and certificate.crl_url")
    if (certificate.subject is None) != (kind is Ceremony.CROSS_CERTIFICATE):
        raise _refused("certificate.subject is told, but for a cross-certificate, which takes it from its input")
    if bool(certificate.issuer_classes) and kind is not Ceremony.INTERMEDIATE:
        raise _refused("certificate.issuer_classes are an intermediate's")
    if kind is Ceremony.INTERMEDIATE and certificate.path_length is None:
        raise _refused("an intermediate has a path_length")


def _check_crl(crl: CrlPlan, plan: Plan) -> None:
    window = plan.document.window
    if not crl.this_update < crl.next_update <= crl.this_update + LONGEST_CRL:
        raise _refused(f"crl.next_update comes after this_update, and within {LONGEST_CRL.days} days")
    if crl.this_update > window.end or crl.this_update.microsecond or crl.next_update.microsecond:
        raise _refused("crl.this_update lies in the window or before, and has no fractions of seconds")
    serials = [int(entry.serial, 16) for entry in crl.revoked]
    if len(set(serials)) < len(serials) or 0 in serials:
        raise _refused("crl.revoked names a serial number twice, or zero")
    for entry in crl.revoked:
        if entry.at > crl.this_update or entry.reason in _NO_REASON:
            raise _refused(f"crl.revoked {entry.serial}: revoked after this_update, or with an impossible reason")


def _exactly(
    plan: Plan, names: set[str], needed: frozenset[str], allowed: frozenset[str], owner: object, prefix: str
) -> None:
    present = {name for name in names if getattr(owner, name) is not None}
    wanting, extra = sorted(needed - present), sorted(present - needed - allowed)
    if wanting:
        raise _refused(f"{plan.kind} needs {prefix}{wanting[0]}")
    if extra:
        raise _refused(f"{prefix}{extra[0]} means nothing for {plan.kind}")


def _refused(detail: str) -> PlanRefused:
    return PlanRefused(PLAN_REFUSED, detail)
