"""Every finding that Troth itself can make, with what it means. (pkilint explains its own codes, ``pkix.…``.)

A test holds this list equal to the codes that stand in the source.
"""

from __future__ import annotations

from collections.abc import Mapping

#: The bytes of a leaf that is about to be signed (``lint``).
LEAF: Mapping[str, str] = {
    "lint.unparsable": "a strict parser cannot read the certificate",
    "lint.encoding": "the parser's copy of the bytes is another one, or the version is not 3",
    "lint.serial": "the serial number is not the reserved one",
    "lint.issuer": "the issuer is not the authority's subject",
    "lint.subject": "the subject is not the one that was asked for",
    "lint.validity": "the times are not those reserved, or leave the profile's or the issuer's bounds",
    "lint.key": "the key is not the one proved, is weak, or of a kind the profile does not take",
    "lint.extension_set": "there are more or fewer extensions than the profile has",
    "lint.extension_unreadable": "an extension cannot be read",
    "lint.key_usage": "the key usage is not the profile's, or not critical",
    "lint.extended_key_usage": "the extended key usage is not the profile's, or empty",
    "lint.basic_constraints": "the basic constraints do not say that this is no authority",
    "lint.authority_key_identifier": "the authority key identifier is not the issuer's",
    "lint.subject_key_identifier": "the subject key identifier does not follow from the key",
    "lint.subject_alternative_name": "the names are not those that were asked for",
    "lint.nameless": "there is neither a subject nor a subject alternative name",
    "lint.authority_nameless": "an authority's subject is empty",
    "lint.security_identifier": "the SID extension does not hold the SID that was asked for",
}
#: CRLs (``crl_lint``).
CRL: Mapping[str, str] = {
    "crl.unparsable": "the CRL is no DER CertificateList",
    "crl.version": "the version is not 2",
    "crl.algorithm": "the signature algorithms inside and outside differ",
    "crl.issuer_empty": "the issuer's name is empty",
    "crl.time": "a time is not written as RFC 5280 wants it: UTCTime through 2049, GeneralizedTime after",
    "crl.next_update": "there is no nextUpdate",
    "crl.validity": "nextUpdate is not after thisUpdate, or more than 400 days after",
    "crl.number": "there is no CRL number, or it is negative or longer than 20 octets",
    "crl.base_number": "the delta's base is not older than the delta",
    "crl.delta": "it is a delta where a complete CRL was meant, or the reverse",
    "crl.empty_list": "revokedCertificates is there, and empty",
    "crl.extension_doubled": "an extension is there twice",
    "crl.extension_unknown": "an extension that no CRL needs",
    "crl.extension_critical": "an extension is critical that must not be, or the reverse",
    "crl.authority_key_identifier": "there is no authority key identifier",
    "crl.point_empty": "the issuing distribution point is empty",
    "crl.point": "the issuing distribution point is not the shard's",
    "crl.entry.shape": "an entry is not serial number, time and extensions",
    "crl.entry.serial": "a serial number is zero, negative or longer than 20 octets",
    "crl.entry.doubled": "a serial number is listed twice",
    "crl.entry.time": "a revocation date is not written as RFC 5280 wants it",
    "crl.entry.future": "a revocation date lies after thisUpdate",
    "crl.entry.empty_extensions": "an entry has an empty list of extensions",
    "crl.entry.extension_unknown": "an entry has an extension that nobody reads",
    "crl.entry.extension_critical": "an extension of an entry is critical",
    "crl.entry.reason": "a reason code that must not be written: 0, 7, 10 and above, or 8 outside a delta",
}
#: What was issued, held against what the tables say of it (``auditor``).
AUDIT: Mapping[str, str] = {
    "audit.unparsable": "the stored certificate cannot be read",
    "audit.digest": "the stored SHA-256 is not the certificate's",
    "audit.serial": "the stored serial number is not the certificate's",
    "audit.validity": "the stored times are not the certificate's",
    "audit.names": "the stored names are not the certificate's",
    "audit.subject": "the stored subject is not the certificate's",
    "audit.key": "the stored key hash is not that of the certificate's key",
    "audit.issuer": "the authority did not sign this certificate",
    "audit.weak_key": "the certificate is good, and its key is weak or published",
    "audit.blocked_key": "the certificate is good, and its key is blocked",
    "audit.extensions": "the certificate has extensions that its profile does not have",
    "audit.profile": "the version of the profile under which it was issued is gone or cannot be read",
    "audit.status": "status and stored CRL entry do not say the same",
    "audit.unshown": "a change of status is older than an hour and in no CRL",
    "audit.decision": "a door issued it without a decision, or the decision is gone",
}

CODES: Mapping[str, str] = {**LEAF, **CRL, **AUDIT}
