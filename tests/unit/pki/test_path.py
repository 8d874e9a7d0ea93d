"""Path validation against NIST's PKITS, out of the vectors that pyca/cryptography publishes (public domain)."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.pki.forge import NOW, Forge, spki
from troth.pki import algorithms
from troth.pki.errors import PathRefused
from troth.pki.path import validate_path
from troth.pki.serial import new_serial

PKITS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data" / "certs"
AT = datetime(2015, 1, 1, tzinfo=UTC)
#: The sections of PKITS that need neither CRLs nor policies: 4.1, 4.2, 4.3, 4.6, 4.7 and 4.13.
_SECTIONS = re.compile(
    r"(?:Valid|Invalid)(?:CertificatePath|CASignature|EESignature|CAnot|EEnot|pre2000UTC|GeneralizedTime|NameChaining|"
    r"MissingbasicConstraints|cA|basicConstraints|pathLenConstraint|SelfIssuedpathLenConstraint|SelfIssuedBasic|"
    r"keyUsage(?:Critical|NotCritical)keyCertSign|keyUsageNotCriticalTest|DNnameConstraints|RFC822nameConstraints|"
    r"DNSnameConstraints|URInameConstraints|DNandRFC822|SelfIssuedDN)"
)
#: Test → why it ends otherwise here than PKITS says.
DIFFERENT = {
    "ValidNameChainingCapitalizationTest5EE": "issuer and subject are compared as encoded",
    "ValidNameChainingWhitespaceTest3EE": "issuer and subject are compared as encoded",
    "ValidNameChainingWhitespaceTest4EE": "issuer and subject are compared as encoded",
}
#: Test → what openssl says, where PKITS and we say the reverse.
OPENSSL: dict[str, bool] = {}
CASES = sorted(path.stem for path in PKITS.glob("*EE.crt") if _SECTIONS.match(path.stem))


@lru_cache(maxsize=1)
def everybody() -> dict[bytes, list[x509.Certificate]]:
    """Authorities by their subject's plain form."""
    found: dict[bytes, list[x509.Certificate]] = {}
    for path in sorted(PKITS.glob("*.crt")):
        if "EE" in path.stem[-2:]:
            continue
        try:
            certificate = x509.load_der_x509_certificate(path.read_bytes())
            found.setdefault(plain(certificate.subject), []).append(certificate)
        except ValueError:
            continue
    return found


def plain(name: x509.Name) -> bytes:
    """For finding a chain, however it is written."""
    return " ".join(name.rfc4514_string().casefold().split()).encode()


def chains(certificate: x509.Certificate, below: tuple[x509.Certificate, ...] = ()) -> list[list[x509.Certificate]]:
    """Every chain from ``certificate`` up to the trust anchor, the anchor last."""
    here = (*below, certificate)
    if plain(certificate.issuer) == plain(anchor().subject):
        return [[*here, anchor()]]
    found = []
    for issuer in everybody().get(plain(certificate.issuer), []):
        if issuer not in here and len(here) < 8:
            found += chains(issuer, here)
    return found


def anchor() -> x509.Certificate:
    """PKITS' own."""
    return x509.load_der_x509_certificate((PKITS / "TrustAnchorRootCertificate.crt").read_bytes())


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60


def holds(name: str) -> bool:
    """Whether some chain of the certificate is good."""
    certificate = x509.load_der_x509_certificate((PKITS / f"{name}.crt").read_bytes())
    for chain in chains(certificate):
        try:
            validate_path(chain[:-1], chain[-1], at=AT)
        except PathRefused:
            continue
        return True
    return False


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_pkits(name: str) -> None:
    assert holds(name) is (name.startswith("Valid") and name not in DIFFERENT)


@pytest.mark.filterwarnings("ignore")
def test_openssl_says_the_same(tmp_path: Path) -> None:
    def pem(paths: list[Path]) -> bytes:
        found = []
        for path in paths:
            try:
                found.append(x509.load_der_x509_certificate(path.read_bytes()).public_bytes(Encoding.PEM))
            except ValueError:
                continue
        return b"".join(found)

    others, root = tmp_path / "others.pem", tmp_path / "root.pem"
    others.write_bytes(pem([path for path in sorted(PKITS.glob("*.crt")) if not path.stem.endswith("EE")]))
    root.write_bytes(pem([PKITS / "TrustAnchorRootCertificate.crt"]))
    different = {}
    for name in CASES:
        leaf = tmp_path / "leaf.pem"
        leaf.write_bytes(pem([PKITS / f"{name}.crt"]))
        words = ["openssl", "verify", "-attime", str(int(AT.timestamp())), "-CAfile", str(root), "-untrusted",
                 str(others), str(leaf)]  # fmt: skip
        said = subprocess.run(words, capture_output=True, check=False).returncode == 0
        if said is not holds(name):
            different[name] = said
    assert different == dict.fromkeys(DIFFERENT, True) | OPENSSL


@pytest.mark.parametrize(("purpose", "good"), [("1.3.6.1.5.5.7.3.1", True), ("1.3.6.1.5.5.7.3.2", False), (None, True)])
def test_a_purpose_must_be_allowed(purpose: str | None, good: bool) -> None:
    forge = Forge.make()
    template = forge.template("tls-server")
    begin, end = template.validity(NOW)
    tbs = template.tbs(
        serial=new_serial(NOW), spki=spki(forge.keys["p384"]), names=(("dns", "a.example"),), not_before=begin,
        not_after=end,
    )  # fmt: skip
    issuer = forge.keys["p256"]
    assert algorithms.spki_of(template.issuer_key) == spki(issuer)
    signed = x509.load_der_x509_certificate(template.certificate(tbs, algorithms.sign_with(issuer, tbs)))
    if good:
        validate_path([signed], template.issuer, at=NOW, purpose=purpose)
        return
    with pytest.raises(PathRefused) as refused:
        validate_path([signed], template.issuer, at=NOW, purpose=purpose)
    assert refused.value.facts["depth"] == 0
    assert "1.3.6.1.5.5.7.3.1" in refused.value.detail
