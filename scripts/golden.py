"""Golden files of the shipped profiles: what each makes of fixed facts, in words and in octets.

    python -m scripts.golden            say which files differ
    python -m scripts.golden --write    write them anew

A difference is a change of what people's certificates say: look at it, and name it in CHANGELOG.md.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from troth.pki.describe import describe
from troth.pki.expressions import Facts
from troth.pki.lint import unsigned
from troth.pki.lint_full import sample_spki
from troth.pki.names import GeneralNames, canonical_names
from troth.pki.profile import Profile, parse_profile, shipped_profiles
from troth.pki.rendering import render
from troth.pki.serial import SerialNumber
from troth.pki.template import StatusUrls, Template, compile_template

GOLDEN = Path(__file__).resolve().parent.parent / "tests/unit/pki/golden"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
FACTS: Facts = {
    "subject.name": "laptop-17",
    "user.name": "alice",
    "user.email": "alice@corp.example",
    "user.upn": "alice@ad.corp.example",
    "user.sid": "S-1-5-21-1004336348-1177238915-682003330-1105",
    "user.department": "Research",
    "device.name": "laptop-17",
    "device.serial": "C02ZK0ABCDEF",
    "workload.name": "shop",
    "workload.environment": "production",
    "workload.trust_domain": "corp.example",
}
PROVED: GeneralNames = canonical_names(
    [("dns", "laptop-17.corp.example"), ("permanent-identifier", "1.3.6.1.4.1.32473.1/C02ZK0ABCDEF")]
)
#: What the attestation CA proves.
PROVED_BY_TPM: GeneralNames = canonical_names(
    [
        ("directory", "tpmManufacturer=id:494E5443,tpmModel=ADL,tpmVersion=id:02580012"),
        ("permanent-identifier", "C02ZK0ABCDEF"),
        ("uri", "urn:ek:sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ]
)


def template_of(profile: Profile) -> Template:
    """``profile`` under an authority that is the same on every machine."""
    key = ec.derive_private_key(11, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Golden Issuing CA")])
    issuer = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(b"golden-issuing-key--"), critical=False)
        .sign(key, hashes.SHA256())
    )
    base = "http://pki.example"
    urls = StatusUrls(f"{base}/ca/issuing.cer", f"{base}/ocsp/issuing", f"{base}/crl/issuing.crl")
    return compile_template(profile, version=1, authority="issuing", issuer=issuer, urls=urls)


def golden(name: str) -> str:
    """The file of one shipped profile."""
    profile = parse_profile(shipped_profiles()[name])
    template = template_of(profile)
    proved = PROVED_BY_TPM if name == "tpm-attestation-key" else PROVED
    proved = tuple(one for one in proved if one[0] in profile.names.kinds)
    rendered = render(profile, FACTS, proved, "laptop-17" if profile.common_name != "absent" else None)
    begin, end = template.validity(NOW)
    tbs = template.tbs(
        serial=SerialNumber(bytes(range(1, 17))), spki=sample_spki(profile.keys[0]), names=rendered.names,
        subject=rendered.subject, sid=rendered.sid, not_before=begin, not_after=end,
    )  # fmt: skip
    fields = describe(x509.load_der_x509_certificate(unsigned(tbs, template)))
    octets = tbs.hex()
    lines = [f"{label}: {text}" for label, text in fields]
    lines += ["", *(octets[at : at + 96] for at in range(0, len(octets), 96))]
    return f"profile {name}, {profile.issuer_class.value}\n\n" + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Compare, or write."""
    different = 0
    for name in shipped_profiles():
        path = GOLDEN / f"{name}.txt"
        wanted = golden(name)
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        different += 1
        print(f"{path.name} differs")
        if "--write" in arguments:
            path.write_text(wanted, encoding="utf-8")
    return 0 if "--write" in arguments or not different else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
