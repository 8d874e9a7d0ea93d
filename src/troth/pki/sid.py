"""Security identifiers of Active Directory, and the extension that ties a certificate to one (MS-WCCE, 2.2.2.7.7.4)."""

from __future__ import annotations

import re

from troth.pki import der

#: szOID_NTDS_CA_SECURITY_EXT.
SECURITY_EXTENSION = "1.3.6.1.4.1.311.25.2"
_OBJECT_SID = "1.3.6.1.4.1.311.25.2.1"
_SID = re.compile(r"S-1-(0|[1-9]\d{0,14})(-(0|[1-9]\d{0,9})){1,15}\Z")


def canonical_sid(value: str) -> str:
    """``S-1-5-21-…`` with a capital S. Raises ValueError for what is none (MS-DTYP, 2.4.2.1)."""
    sid = value.upper()
    if not _SID.match(sid) or any(int(part) >= 1 << 32 for part in sid.split("-")[3:]):
        raise ValueError(f"{value[:80]!r} is no security identifier such as S-1-5-21-1-2-3-1105")
    return sid


def sid_extension(sid: str) -> bytes:
    """The extension's value: GeneralNames with one otherName that holds the SID's text in an OCTET STRING."""
    return der.sequence(der.explicit(0, der.oid(_OBJECT_SID) + der.explicit(0, der.octets(sid.encode("ascii")))))


def read_sid_extension(value: bytes) -> str:
    """The SID in an extension's value. Raises ValueError."""
    outer = der.Reader(value)
    name = outer.enter(der.SEQUENCE).enter(0xA0)
    outer.close()
    if der.read_oid(name.read(der.OID)) != _OBJECT_SID:
        raise ValueError("another kind of name stands where a SID should")
    return canonical_sid(name.enter(0xA0).read(der.OCTET_STRING).decode("ascii"))
