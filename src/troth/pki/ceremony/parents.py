"""A certificate may only narrow what its issuer's allows: read from the bytes, not from the plan.

What is checked here would otherwise be found out by whoever validates the first chain (RFC 5280, 6.1), years of a key's
life too late.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from troth.pki.ceremony.errors import PARENT, PlanRefused
from troth.pki.reading import value_of

_ANY_POLICY = "2.5.29.32.0"
_Name: TypeAlias = x509.GeneralName


def check_issuer(issuer: x509.Certificate, *, signs_crls: bool = False) -> None:
    """Raise PlanRefused unless ``issuer`` is an authority's certificate that may sign such a thing."""
    constraints = value_of(issuer.extensions, x509.BasicConstraints)
    usage = value_of(issuer.extensions, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        raise _refused("the issuer's certificate is not an authority's")
    if usage is None or not (usage.crl_sign if signs_crls else usage.key_cert_sign):
        raise _refused(f"the issuer's key usage has no {'cRLSign' if signs_crls else 'keyCertSign'}")


def check_below(issuer: x509.Certificate, child: x509.Certificate) -> None:
    """Raise PlanRefused unless ``child`` stays within ``issuer``."""
    check_issuer(issuer)
    if child.issuer.public_bytes() != issuer.subject.public_bytes():
        raise _refused("the issuer's name is not the subject of its certificate")
    if child.subject == issuer.subject:
        raise _refused("an authority below another one has a name of its own")
    if (
        child.not_valid_before_utc < issuer.not_valid_before_utc
        or child.not_valid_after_utc > issuer.not_valid_after_utc
    ):
        raise _refused(
            f"it is not valid within its issuer's validity, which ends {issuer.not_valid_after_utc:%Y-%m-%d}"
        )
    _path_length(issuer, child)
    _policies(issuer, child)
    _usages(issuer, child)
    _names(issuer, child)


def _path_length(issuer: x509.Certificate, child: x509.Certificate) -> None:
    above, below = value_of(issuer.extensions, x509.BasicConstraints), value_of(child.extensions, x509.BasicConstraints)
    if above is None or above.path_length is None:
        return
    if above.path_length == 0:
        raise _refused("the issuer's path length is 0: it has no authorities below it")
    if below is None or below.path_length is None or below.path_length >= above.path_length:
        raise _refused(f"the issuer's path length is {above.path_length}; the certificate's must be below that")


def _policies(issuer: x509.Certificate, child: x509.Certificate) -> None:
    above, below = (
        value_of(issuer.extensions, x509.CertificatePolicies),
        value_of(child.extensions, x509.CertificatePolicies),
    )
    if above is None or below is None:
        return
    known = {policy.policy_identifier.dotted_string for policy in above}
    extra = sorted({policy.policy_identifier.dotted_string for policy in below} - known)
    if extra and _ANY_POLICY not in known:
        raise _refused(f"policy {extra[0]} is not one of the issuer's")


def _usages(issuer: x509.Certificate, child: x509.Certificate) -> None:
    above, below = value_of(issuer.extensions, x509.ExtendedKeyUsage), value_of(child.extensions, x509.ExtendedKeyUsage)
    if above is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in above:
        return
    if below is None or set(below) - set(above):
        raise _refused("the issuer is limited to some extended key usages; the certificate must name some of them")


def _names(issuer: x509.Certificate, child: x509.Certificate) -> None:
    above, below = value_of(issuer.extensions, x509.NameConstraints), value_of(child.extensions, x509.NameConstraints)
    if above is None or below is None:
        return  # without constraints of its own it has its issuer's: path validation carries them down
    permitted = above.permitted_subtrees or []
    for name in below.permitted_subtrees or []:
        same = [one for one in permitted if type(one) is type(name)]
        if same and not any(_within(name, one) for one in same):
            raise _refused(f"it permits {name.value}, which its issuer's constraints do not")
    for name in below.permitted_subtrees or []:
        if any(type(one) is type(name) and _within(name, one) for one in above.excluded_subtrees or []):
            raise _refused(f"it permits {name.value}, which its issuer's constraints exclude")


def _within(inner: _Name, outer: _Name) -> bool:
    if isinstance(inner, x509.IPAddress) and isinstance(outer, x509.IPAddress):
        one, other = inner.value, outer.value
        return bool(one.version == other.version and one.subnet_of(other))  # type: ignore[union-attr,arg-type]
    one_text, other_text = str(inner.value).lower(), str(outer.value).lower()
    return one_text == other_text or one_text.endswith("." + other_text.lstrip("."))


def _refused(detail: str) -> PlanRefused:
    return PlanRefused(PARENT, detail)
