"""A profile under an authority, compiled to DER once: a leaf then costs one concatenation.

Everything that is the same in all certificates of (profile, authority) is encoded when the profile is applied; a leaf
adds serial number, validity, subject, public key, subject key identifier, names and SID. The output is byte-equal to
what cryptography's CertificateBuilder makes of the same input (tests/unit/pki/test_template.py holds that with random
profiles and input), at a third of its cost.

Order of extensions: key usage, extended key usage, basic constraints, authority key identifier, authority
information access, CRL distribution points, policies, name constraints, TLS feature, noRevAvail, OCSP no-check, then
subject key identifier, alternative names and the SID.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NewType

from cryptography import x509

from troth.kit.clock import to_seconds
from troth.pki import algorithms, der
from troth.pki.attributes import Attributes, name_der
from troth.pki.errors import AUTHORITY_INACTIVE, PROFILE_REFUSES, AuthorityRefused, ProfileRefused
from troth.pki.extensions import NO_REV_AVAIL, basic_constraints, rarer
from troth.pki.names import GeneralNames, general_names_der
from troth.pki.profile import Profile
from troth.pki.serial import SerialNumber, shard_of
from troth.pki.sid import SECURITY_EXTENSION, sid_extension
from troth.pki.usages import KEY_USAGES, named_usages, usage_oid

TbsBytes = NewType("TbsBytes", bytes)

_VERSION_3 = der.explicit(0, der.integer(2))
_SKI = der.oid("2.5.29.14")
_SAN = der.oid("2.5.29.17")
_SID = der.oid(SECURITY_EXTENSION)
_CRL_POINTS = "2.5.29.31"


@dataclass(frozen=True, slots=True)
class StatusUrls:
    """Where the world finds an authority's certificate and status. None leaves the pointer out."""

    ca_issuers: str | None = None
    ocsp: str | None = None
    crl: str | None = None
    crl_shards: int = 1

    def crl_of(self, shard: int) -> str | None:
        """Where the CRL of ``shard`` lies. Shard 0 keeps the address that an authority has before it is sharded."""
        if self.crl is None:
            return None
        if "{shard}" in self.crl:
            return self.crl.replace("{shard}", str(shard))
        return self.crl if shard == 0 else f"{self.crl.removesuffix('.crl')}/{shard}.crl"

    def delta_of(self, shard: int) -> str | None:
        """Where the delta CRL of ``shard`` lies."""
        if self.crl is None:
            return None
        if "{shard}" in self.crl:
            return self.crl.replace("{shard}", f"{shard}-delta")
        return f"{self.crl.removesuffix('.crl')}/{shard}-delta.crl"


@lru_cache(maxsize=64)  # asked where a certificate is put together, and where it is held against what it should say
def subject_key_identifier(spki: bytes) -> bytes:
    """The leftmost 160 bits of the SHA-256 of the key's bits (RFC 7093, 2, method 1): no SHA-1 for FIPS hosts."""
    return hashlib.sha256(algorithms.key_bits(spki)).digest()[:20]


def extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """One Extension of already encoded parts."""
    return der.sequence(oid, der.TRUE if critical else b"", der.octets(value))


def subject_of(subject: Attributes, common_name: str | None) -> Attributes:
    """The whole subject: as given, or of the common name alone."""
    if subject or common_name is None:
        return subject
    return (("CN", common_name),)


@dataclass(frozen=True, slots=True)
class Template:
    """See the module. Make it with :func:`compile_template`; keep it as long as profile and authority stand."""

    profile: Profile
    profile_version: int
    authority: str
    issuer: x509.Certificate
    issuer_key: algorithms.PublicKey
    issuer_key_id: bytes
    signature_algorithm: bytes
    extension_oids: frozenset[str]
    #: What the profile has its certificates say of their keys' use, as the library reads it.
    key_usage: x509.KeyUsage
    extended_key_usage: frozenset[x509.ObjectIdentifier]
    #: Of the issuer's certificate, whose library reads them anew each time that they are asked for.
    issuer_subject: x509.Name
    issuer_not_before: datetime
    issuer_not_after: datetime
    _issuer_name: bytes
    #: One for each CRL shard: they differ in the distribution point.
    _fixed_extensions: tuple[bytes, ...]

    def crl_shard(self, serial: SerialNumber) -> int:
        """The CRL shard that a certificate of this serial number belongs to, as its distribution point says."""
        return shard_of(serial, len(self._fixed_extensions))

    @property
    def no_rev_avail(self) -> bool:
        """Its certificates are in no CRL (RFC 9608): live policy alone holds them."""
        return NO_REV_AVAIL in self.extension_oids

    def tbs(
        self,
        *,
        serial: SerialNumber,
        spki: bytes,
        names: GeneralNames,
        not_before: datetime,
        not_after: datetime,
        common_name: str | None = None,
        subject: Attributes = (),
        sid: str | None = None,
    ) -> TbsBytes:
        """DER TBSCertificate. ``names`` and ``subject`` canonical, times in whole seconds; nothing is checked here
        (lint does). ``common_name`` stands for a subject of one CN."""
        whole = subject_of(subject, common_name)
        variable = extension(_SKI, der.octets(subject_key_identifier(spki)))
        if names:
            # Critical when the subject is empty (RFC 5280, 4.2.1.6), or old software binds the key to nothing.
            variable += extension(_SAN, general_names_der(names), critical=not whole)
        if sid is not None:
            variable += extension(_SID, sid_extension(sid))
        return TbsBytes(
            der.sequence(
                _VERSION_3,
                der.tlv(der.INTEGER, serial),
                self.signature_algorithm,
                self._issuer_name,
                der.sequence(der.time(not_before), der.time(not_after)),
                name_der(whole),
                spki,
                der.explicit(3, der.sequence(self._fixed_extensions[self.crl_shard(serial)], variable)),
            )
        )

    def validity(
        self,
        now: datetime,
        lifetime: timedelta | None = None,
        not_after: datetime | None = None,
        *,
        stagger: float = 0.0,
    ) -> tuple[datetime, datetime]:
        """notBefore and notAfter of a certificate issued ``now``.

        The lifetime counts from notBefore and includes the second of notAfter (RFC 5280, 4.1.2.5: 'inclusive'), so
        the longest is exactly the profile's maximum. Neither end leaves the issuer's own validity. ``not_after``
        asks for an exact end, within whatever else bounds it. ``stagger``, from 0 to 1, is the share of the profile's
        jitter by which a certificate of at least the default lifetime ends earlier. Raises ProfileRefused for a
        certificate that would not live a minute, AuthorityRefused when the issuer has no such minute left.
        """
        usual = self.profile.default_lifetime if not_after is None else self.profile.max_lifetime
        wanted = min(lifetime or usual, self.profile.max_lifetime)
        if not_after is None and self.profile.lifetime.jitter is not None and wanted >= self.profile.default_lifetime:
            wanted -= timedelta(seconds=int(self.profile.jitter.total_seconds() * stagger))
        if wanted < self.profile.backdate + timedelta(minutes=1):
            raise ProfileRefused(PROFILE_REFUSES, "the lifetime asked for is under a minute", seconds=wanted.seconds)
        begin = max(to_seconds(now - self.profile.backdate), self.issuer_not_before)
        end = min(begin + wanted - timedelta(seconds=1), self.issuer_not_after)
        if end < now + timedelta(seconds=30):
            raise AuthorityRefused(AUTHORITY_INACTIVE, f"authority {self.authority} expires {end.isoformat()}")
        if not_after is None:
            return begin, end
        if not_after < now + timedelta(minutes=1):
            raise ProfileRefused(PROFILE_REFUSES, "the end asked for is less than a minute ahead")
        return begin, min(end, to_seconds(not_after))

    def certificate(self, tbs: TbsBytes, signature: bytes) -> bytes:
        """DER Certificate from its parts."""
        return der.sequence(tbs, self.signature_algorithm, der.bits(signature))


def compile_template(
    profile: Profile, *, version: int, authority: str, issuer: x509.Certificate, urls: StatusUrls
) -> Template:
    """Encode all that ``profile`` and the authority's certificate decide. Raises ValueError for an unfit issuer."""
    key = issuer.public_key()
    if not isinstance(key, algorithms.PublicKey):
        raise ValueError(f"an issuer key of kind {type(key).__name__} is not supported")
    try:
        issuer_key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        raise ValueError("the issuer's certificate has no subject key identifier (RFC 5280, 4.2.1.2)") from None
    parts: list[tuple[str, bool, bytes]] = [
        ("2.5.29.15", True, der.named_bits(*(KEY_USAGES[usage] for usage in profile.key_usage))),
        ("2.5.29.37", False, der.sequence(*(der.oid(usage_oid(u)) for u in profile.extended_key_usage))),
    ]
    if profile.basic_constraints != "absent":
        parts.append(("2.5.29.19", True, basic_constraints(profile)))
    parts.append(("2.5.29.35", False, der.sequence(der.implicit(0, issuer_key_id))))
    access = []
    if urls.ocsp is not None and "ocsp" in profile.status:
        access.append(_access("1.3.6.1.5.5.7.48.1", urls.ocsp))
    if urls.ca_issuers is not None:
        access.append(_access("1.3.6.1.5.5.7.48.2", urls.ca_issuers))
    if access:
        parts.append(("1.3.6.1.5.5.7.1.1", False, der.sequence(*access)))
    if urls.crl is not None and "crl" in profile.status:
        parts.append((_CRL_POINTS, False, b""))  # each shard has its own, see below
    parts += rarer(profile)
    if profile.ocsp_nocheck:
        parts.append(("1.3.6.1.5.5.7.48.1.5", False, der.NULL_VALUE))
    return Template(
        profile=profile,
        profile_version=version,
        authority=authority,
        issuer=issuer,
        issuer_key=key,
        issuer_key_id=issuer_key_id,
        signature_algorithm=algorithms.algorithm_identifier(key),
        extension_oids=frozenset(oid for oid, _, _ in parts) | {"2.5.29.14"},
        key_usage=named_usages(profile.key_usage),
        extended_key_usage=frozenset(x509.ObjectIdentifier(usage_oid(u)) for u in profile.extended_key_usage),
        issuer_subject=issuer.subject,
        issuer_not_before=issuer.not_valid_before_utc,
        issuer_not_after=issuer.not_valid_after_utc,
        _issuer_name=issuer.subject.public_bytes(),
        _fixed_extensions=tuple(_encode(parts, urls.crl_of(shard)) for shard in range(urls.crl_shards)),
    )


def _encode(parts: list[tuple[str, bool, bytes]], crl: str | None) -> bytes:
    """The extensions in their order, with the CRL distribution point at ``crl``."""
    point = b"" if crl is None else der.sequence(der.sequence(der.explicit(0, der.explicit(0, _uri(crl)))))
    return b"".join(
        extension(der.oid(oid), point if oid == _CRL_POINTS else value, critical=critical)
        for oid, critical, value in parts
    )


def _uri(url: str) -> bytes:
    return der.implicit(6, url.encode("ascii"))


def _access(method: str, url: str) -> bytes:
    return der.sequence(der.oid(method), _uri(url))
