"""src/troth/pki/data/published_keys.bin: fingerprints of keys whose private half is published.

    python -m scripts.keys.published_keys           the list, made anew

Sources:

* RFC 6979 (A.2.5 to A.2.7), RFC 7515 (A.2, A.3), RFC 7517 (A.1), RFC 8032 (7.1): printed private keys.
* The vectors of pyca/cryptography (``cryptography-vectors`` on PyPI, Apache-2.0 or BSD-3-Clause, a development
  dependency): every private key there that Troth would otherwise accept, those of NIST's PKITS, OpenSSL's and
  Wycheproof's among them. Only fingerprints are shipped.
* Keys that anybody makes: EC private keys 1 to 4,096, Ed25519 and ML-DSA seeds of one repeated octet or counting up.
* Troth's own samples for linting profiles (``lint_full.sample_spki``).
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from troth.client.jose import b64url_decode
from troth.kit.errors import TrothError
from troth.pki import algorithms
from troth.pki.keycheck import KINDS, check_key
from troth.pki.lint_full import sample_spki

LIST = Path(__file__).resolve().parents[2] / "src/troth/pki/data/published_keys.bin"
WIDTH = 8
_CURVES: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
_MLDSA = (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey)

_RFC6979 = (
    (_CURVES[0], "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"),
    (_CURVES[1], "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5"),
    (
        _CURVES[2],
        "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75"
        "CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538",
    ),
)
_RFC8032 = (
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
)
_RFC7515_EC = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
_RFC_RSA = (
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC"
    "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg6"
    "65xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
    "yuXpoQ",
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
    "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
    "nqDKgw",
)


def printed() -> Iterator[object]:
    """Public keys of what RFCs print."""
    for curve, secret in _RFC6979:
        yield ec.derive_private_key(int(secret, 16), curve).public_key()
    for seed in _RFC8032:
        yield ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)).public_key()
    yield ec.derive_private_key(int.from_bytes(b64url_decode(_RFC7515_EC), "big"), _CURVES[0]).public_key()
    for modulus in _RFC_RSA:
        yield rsa.RSAPublicNumbers(65537, int.from_bytes(b64url_decode(modulus), "big")).public_key()


def made_by_anybody() -> Iterator[object]:
    """Public keys of secrets that are no secrets."""
    for curve in _CURVES:
        for secret in range(1, 4097):
            yield ec.derive_private_key(secret, curve).public_key()
    seeds = [bytes([octet]) * 32 for octet in range(256)] + [bytes(range(32)), bytes(range(1, 33))]
    for seed in seeds:
        yield ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
        for kind in _MLDSA:
            yield kind.from_seed_bytes(seed).public_key()
    for name in KINDS:
        yield algorithms.load_public(sample_spki(name))


def of_test_suites() -> Iterator[object]:
    """Public keys of the private keys among cryptography's vectors."""
    root = Path(cryptography_vectors.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".pem", ".der", ".key", ".p12", ".crt", ".cer"):
            continue
        data = path.read_bytes()
        if "PKITS_data/certs" in path.as_posix():
            # Their private keys lie beside them, in PKCS #12 files under one published password.
            try:
                yield x509.load_der_x509_certificate(data).public_key()
            except ValueError:
                continue  # DSA with inherited parameters
            continue
        for load in (serialization.load_pem_private_key, serialization.load_der_private_key):
            for password in (None, b"123456", b"a123456", b"password", b"foobar", b"asdf"):
                try:
                    yield load(data, password).public_key()
                except Exception:  # noqa: BLE001, S112 -- most files hold something else
                    continue


def fingerprints() -> set[bytes]:
    """Of all of them that Troth would accept otherwise."""
    found = set()
    for source in (printed, made_by_anybody, of_test_suites):
        for key in source():
            if not isinstance(key, algorithms.PublicKey):
                continue
            try:
                found.add(check_key(key).sha256[:WIDTH])
            except (TrothError, KeyError):
                continue  # too small, an unknown curve, or weak by itself
    return found


def main() -> int:
    """The exit code."""
    warnings.simplefilter("ignore")
    found = fingerprints()
    LIST.write_bytes(b"".join(sorted(found)))
    print(f"{len(found)} keys, {hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
