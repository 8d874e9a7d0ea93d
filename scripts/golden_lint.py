"""tests/unit/pki/golden/*.case: one bad certificate, request or CRL for each rule, with what lint must say of it.

    python -m scripts.golden_lint            write them anew; a difference is a change of what lint finds

Everything is written by hand in DER, since no library makes what is wrong on purpose. Signatures are dummies: lint
does not look at them.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from troth.pki import algorithms, der
from troth.pki.crl_der import crl_entry
from troth.pki.lint_file import lint_file
from troth.pki.serial import SerialNumber
from troth.pki.template import extension, subject_key_identifier

GOLDEN = Path(__file__).resolve().parents[1] / "tests/unit/pki/golden"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
_SECRET = int.from_bytes(hashlib.sha256(b"troth golden cases").digest(), "big") >> 1
KEY = ec.derive_private_key(_SECRET, ec.SECP256R1()).public_key()
SPKI = algorithms.spki_of(KEY)
ALGORITHM = algorithms.algorithm_identifier(KEY)
OTHER_ALGORITHM = der.sequence(der.oid("1.2.840.10045.4.3.3"))
SIGNATURE = der.bits(algorithms.dummy_signature(KEY))
KEY_ID = subject_key_identifier(SPKI)

AKI, SKI, KU, BC, SAN, EKU = "2.5.29.35", "2.5.29.14", "2.5.29.15", "2.5.29.19", "2.5.29.17", "2.5.29.37"
NC, CDP, POLICIES, AIA = "2.5.29.30", "2.5.29.31", "2.5.29.32", "1.3.6.1.5.5.7.1.1"


def name(**attributes: str) -> bytes:
    """A Name."""
    oids = {"cn": NameOID.COMMON_NAME, "c": NameOID.COUNTRY_NAME, "o": NameOID.ORGANIZATION_NAME}
    return x509.Name(
        [x509.NameAttribute(oids[key], value, _validate=False) for key, value in attributes.items()]
    ).public_bytes()


ISSUER = name(cn="Golden CA")

#: Extension → (critical, value) of a sound leaf, and of a sound authority.
LEAF: dict[str, tuple[bool, bytes]] = {
    KU: (True, der.named_bits(0)),
    EKU: (False, der.sequence(der.oid("1.3.6.1.5.5.7.3.1"))),
    BC: (True, der.sequence()),
    AKI: (False, der.sequence(der.implicit(0, KEY_ID))),
    SKI: (False, der.octets(KEY_ID)),
    SAN: (True, der.sequence(der.implicit(2, b"www.example.org"))),
}
CA: dict[str, tuple[bool, bytes]] = {
    KU: (True, der.named_bits(5, 6)),
    BC: (True, der.sequence(der.TRUE)),
    AKI: (False, der.sequence(der.implicit(0, KEY_ID))),
    SKI: (False, der.octets(KEY_ID)),
}


def certificate(
    *,
    base: dict[str, tuple[bool, bytes]] = LEAF,
    change: dict[str, tuple[bool, bytes] | None] | None = None,
    twice: str | None = None,
    version: bytes = der.explicit(0, der.integer(2)),
    serial: bytes = der.integer(0x0102030405060708090A0B0C0D0E0F),
    inner: bytes = ALGORITHM,
    issuer: bytes = ISSUER,
    validity: bytes | None = None,
    subject: bytes = der.sequence(),
    spki: bytes = SPKI,
) -> bytes:
    """A sound certificate, but for what is said."""
    values = {**base, SKI: (False, der.octets(subject_key_identifier(spki))), **(change or {})}
    parts = [extension(der.oid(oid), one[1], critical=one[0]) for oid, one in values.items() if one is not None]
    if twice is not None and (again := values[twice]) is not None:
        parts.append(extension(der.oid(twice), again[1], critical=again[0]))
    validity = validity or der.sequence(der.time(NOW), der.time(NOW + timedelta(days=30)))
    tbs = der.sequence(
        version, serial, inner, issuer, validity, subject, spki, der.explicit(3, der.sequence(*parts))
    )  # fmt: skip
    return der.sequence(tbs, ALGORITHM, SIGNATURE)


def crl(
    *,
    version: bytes = der.integer(1),
    inner: bytes = ALGORITHM,
    issuer: bytes = ISSUER,
    this_update: bytes = der.time(NOW),
    next_update: bytes = der.time(NOW + timedelta(days=1)),
    entries: bytes | None = None,
    change: dict[str, tuple[bool, bytes] | None] | None = None,
    twice: str | None = None,
) -> bytes:
    """A sound CRL, but for what is said."""
    values: dict[str, tuple[bool, bytes] | None] = {
        AKI: (False, der.sequence(der.implicit(0, KEY_ID))),
        "2.5.29.20": (False, der.integer(7)),
        **(change or {}),
    }
    parts = [extension(der.oid(oid), one[1], critical=one[0]) for oid, one in values.items() if one is not None]
    if twice is not None and (again := values[twice]) is not None:
        parts.append(extension(der.oid(twice), again[1], critical=again[0]))
    listed = b"" if entries is None else der.sequence(entries)
    end = der.explicit(0, der.sequence(*parts)) if parts else b""
    tbs = der.sequence(version, inner, issuer, this_update, next_update, listed, end)
    return der.sequence(tbs, ALGORITHM, SIGNATURE)


def entry(reason: int = 0, *, serial: bytes = b"\x01" * 16, at: bytes = der.time(NOW - timedelta(days=1)),
          extensions: bytes = b"") -> bytes:  # fmt: skip
    """One entry, sound or not."""
    if reason:
        extensions += extension(der.oid("2.5.29.21"), der.enumerated(reason))
    return der.sequence(der.tlv(der.INTEGER, serial), at, der.sequence(extensions) if extensions else b"")


def certificates() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name → bad certificate."""
    end = der.time(NOW + timedelta(days=30))
    yield "serial-zero", lambda: certificate(serial=der.integer(0))
    yield "serial-negative", lambda: certificate(serial=der.integer(-5))
    yield "serial-21-octets", lambda: certificate(serial=der.tlv(der.INTEGER, b"\x01" * 21))
    yield "issuer-empty", lambda: certificate(issuer=der.sequence())
    yield "validity-reversed", lambda: certificate(validity=der.sequence(end, der.time(NOW)))
    yield "validity-generalized", lambda: certificate(validity=der.sequence(der.generalized_time(NOW), end))
    yield "version-1-with-extensions", lambda: certificate(version=b"")
    yield "algorithms-differ", lambda: certificate(inner=OTHER_ALGORITHM)
    yield "subject-empty-names-not-critical", lambda: certificate(change={SAN: (False, LEAF[SAN][1])})
    yield "no-name-at-all", lambda: certificate(change={SAN: None})
    yield "names-empty", lambda: certificate(change={SAN: (True, der.sequence())})
    yield "extension-doubled", lambda: certificate(twice=EKU)
    yield "key-usage-empty", lambda: certificate(change={KU: (True, der.named_bits())})
    yield "key-usage-trailing-zeros", lambda: certificate(change={KU: (True, b"\x03\x02\x00\x80")})
    yield "extended-key-usage-empty", lambda: certificate(change={EKU: (False, der.sequence())})
    yield "leaf-that-signs-certificates", lambda: certificate(change={KU: (True, der.named_bits(0, 5))})
    yield "leaf-with-path-length", lambda: certificate(change={BC: (True, der.sequence(der.integer(0)))})
    yield (
        "leaf-with-name-constraints",
        lambda: certificate(
            change={NC: (True, der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"example.org")))))}
        ),
    )
    yield "authority-key-identifier-missing", lambda: certificate(change={AKI: None})
    yield "authority-key-identifier-critical", lambda: certificate(change={AKI: (True, LEAF[AKI][1])})
    yield "subject-key-identifier-critical", lambda: certificate(change={SKI: (True, LEAF[SKI][1])})
    yield (
        "authority-information-critical",
        lambda: certificate(
            change={
                AIA: (True, der.sequence(der.sequence(der.oid("1.3.6.1.5.5.7.48.1"), der.implicit(6, b"http://a/"))))
            }
        ),
    )
    yield "authority-information-empty", lambda: certificate(change={AIA: (False, der.sequence())})
    yield (
        "policies-doubled",
        lambda: certificate(
            change={POLICIES: (False, der.sequence(der.sequence(der.oid("1.2.3.4")), der.sequence(der.oid("1.2.3.4"))))}
        ),
    )
    yield (
        "address-of-five-octets",
        lambda: certificate(change={SAN: (True, der.sequence(der.implicit(7, b"\x01" * 5)))}),
    )
    yield "mailbox-malformed", lambda: certificate(change={SAN: (True, der.sequence(der.implicit(1, b"nobody@")))})
    yield "country-of-three-letters", lambda: certificate(subject=name(c="XYZ", cn="x"))
    yield "common-name-of-65", lambda: certificate(subject=name(cn="x" * 65))
    yield "ca-key-usage-missing", lambda: certificate(base=CA, change={KU: None}, subject=name(cn="Sub CA"))
    yield (
        "ca-that-cannot-sign",
        lambda: certificate(base=CA, change={KU: (True, der.named_bits(6))}, subject=name(cn="Sub CA")),
    )
    yield (
        "ca-basic-constraints-not-critical",
        lambda: certificate(base=CA, change={BC: (False, CA[BC][1])}, subject=name(cn="Sub CA")),
    )
    yield "ca-subject-empty", lambda: certificate(base=CA)
    yield (
        "ca-subject-key-identifier-missing",
        lambda: certificate(base=CA, change={SKI: None}, subject=name(cn="Sub CA")),
    )
    yield "ca-name-constraints-not-critical", lambda: certificate(
        base=CA, subject=name(cn="Sub CA"),
        change={NC: (False, der.sequence(der.explicit(0, der.sequence(der.implicit(2, b"example.org")))))},
    )  # fmt: skip
    yield (
        "key-published",
        lambda: certificate(spki=algorithms.spki_of(ec.derive_private_key(1, ec.SECP256R1()).public_key())),
    )
    yield "key-rsa-exponent-3", lambda: certificate(spki=_rsa(3, _modulus(2048)))
    yield "key-rsa-1024", lambda: certificate(spki=_rsa(65537, _modulus(1024)))
    yield "key-rsa-small-factor", lambda: certificate(spki=_rsa(65537, 751 * (_modulus(2048) // 751 | 1)))
    yield "trailing-octets", lambda: certificate() + b"\x00"


def crls() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Name → bad CRL."""
    unknown = extension(der.oid("2.5.29.27"), der.integer(1))
    yield "crl-version-1", lambda: crl(version=b"")
    yield "crl-algorithms-differ", lambda: crl(inner=OTHER_ALGORITHM)
    yield "crl-issuer-empty", lambda: crl(issuer=der.sequence())
    yield "crl-next-update-missing", lambda: crl(next_update=b"")
    yield "crl-validity-reversed", lambda: crl(next_update=der.time(NOW - timedelta(days=1)))
    yield "crl-validity-of-years", lambda: crl(next_update=der.time(NOW + timedelta(days=800)))
    yield "crl-time-generalized", lambda: crl(this_update=der.generalized_time(NOW))
    yield "crl-list-empty", lambda: crl(entries=b"")
    yield "crl-number-missing", lambda: crl(change={"2.5.29.20": None})
    yield "crl-number-negative", lambda: crl(change={"2.5.29.20": (False, der.integer(-1))})
    yield "crl-number-21-octets", lambda: crl(change={"2.5.29.20": (False, der.tlv(der.INTEGER, b"\x01" * 21))})
    yield "crl-number-critical", lambda: crl(change={"2.5.29.20": (True, der.integer(7))})
    yield "crl-authority-key-identifier-missing", lambda: crl(change={AKI: None})
    yield "crl-extension-doubled", lambda: crl(twice="2.5.29.20")
    yield (
        "crl-authority-information",
        lambda: crl(
            change={
                AIA: (False, der.sequence(der.sequence(der.oid("1.3.6.1.5.5.7.48.1"), der.implicit(6, b"http://a/"))))
            }
        ),
    )
    yield "crl-delta-not-critical", lambda: crl(change={"2.5.29.27": (False, der.integer(3))})
    yield "crl-delta-of-itself", lambda: crl(change={"2.5.29.27": (True, der.integer(7))})
    yield (
        "crl-point-not-critical",
        lambda: crl(
            change={
                "2.5.29.28": (False, der.sequence(der.explicit(0, der.explicit(0, der.implicit(6, b"http://a/x.crl")))))
            }
        ),
    )
    yield "crl-point-empty", lambda: crl(change={"2.5.29.28": (True, der.sequence())})
    yield (
        "crl-entry-reason-unspecified",
        lambda: crl(entries=entry(extensions=extension(der.oid("2.5.29.21"), der.enumerated(0)))),
    )
    yield "crl-entry-reason-7", lambda: crl(entries=entry(7))
    yield "crl-entry-reason-remove-from-crl", lambda: crl(entries=entry(8))
    yield (
        "crl-entry-reason-critical",
        lambda: crl(entries=entry(extensions=extension(der.oid("2.5.29.21"), der.enumerated(1), critical=True))),
    )
    yield "crl-entry-extension-unknown", lambda: crl(entries=entry(extensions=unknown))
    yield "crl-entry-serial-zero", lambda: crl(entries=entry(serial=b"\x00"))
    yield "crl-entry-serial-negative", lambda: crl(entries=entry(serial=b"\xff\x01"))
    yield "crl-entry-doubled", lambda: crl(entries=entry() + entry())
    yield "crl-entry-in-the-future", lambda: crl(entries=entry(at=der.time(NOW + timedelta(days=2))))
    yield "crl-entry-time-generalized", lambda: crl(entries=entry(at=der.generalized_time(NOW - timedelta(days=1))))
    yield (
        "crl-entry-extensions-empty",
        lambda: crl(entries=der.sequence(der.tlv(der.INTEGER, b"\x01" * 16), der.time(NOW), der.sequence())),
    )
    yield "crl-entry-without-time", lambda: crl(entries=der.sequence(der.tlv(der.INTEGER, b"\x01" * 16)))
    yield "crl-cut-short", lambda: crl(entries=crl_entry(SerialNumber(b"\x01" * 16), NOW, 1))[:-9]


def _modulus(size: int) -> int:
    stream = b"".join(hashlib.sha256(b"troth golden modulus %d" % i).digest() for i in range(size // 256))
    n = int.from_bytes(stream, "big") | 1 << (size - 1) | 1
    while any(n % odd == 0 for odd in range(3, 752, 2)):
        n += 2
    return n


def _rsa(exponent: int, modulus: int) -> bytes:
    if exponent == 3 or modulus.bit_length() < 2048:
        # The library refuses to make them; the structure is small.
        bits = der.bits(der.sequence(der.integer(modulus), der.integer(exponent)))
        return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL_VALUE), bits)
    return algorithms.spki_of(rsa.RSAPublicNumbers(exponent, modulus).public_key())


def pem(label: str, data: bytes) -> str:
    """One PEM block."""
    return f"-----BEGIN {label}-----\n{base64.encodebytes(data).decode()}-----END {label}-----\n"


def told(data: str) -> list[str]:
    """What lint must say: code and severity of what keeps the thing from being signed."""
    return sorted({f"{one.severity} {one.code}" for each in lint_file(data.encode()) for one in each.bad})


def cases() -> Iterator[tuple[str, str]]:
    """Name → PEM."""
    for label, source in (("CERTIFICATE", certificates()), ("X509 CRL", crls())):
        for title, make in source:
            yield title, pem(label, make())


def sound() -> Iterator[str]:
    """What must pass."""
    yield pem("CERTIFICATE", certificate())
    yield pem("CERTIFICATE", certificate(base=CA, subject=name(cn="Sub CA")))
    yield pem("X509 CRL", crl())
    yield pem("X509 CRL", crl(entries=entry(1) + entry(6, serial=b"\x02" * 16) + entry(serial=b"\x03" * 16)))


def main() -> int:
    """The exit code."""
    warnings.simplefilter("ignore")  # the names are wrong on purpose
    GOLDEN.mkdir(parents=True, exist_ok=True)
    silent = 0
    for one in sound():
        if told(one):
            print("a sound one has findings:", told(one))
    for title, data in cases():
        found = told(data)
        if not found:
            print(f"{title}: nothing is found")
            silent += 1
        (GOLDEN / f"{title}.case").write_text("\n".join(found) + "\n\n" + data)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
