"""A test authority with its key in memory: what the signer process holds in the product."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.x509.oid import NameOID

from troth.pki import algorithms
from troth.pki.profile import Profile, parse_profile, shipped_profiles
from troth.pki.template import StatusUrls, Template, compile_template

NOW = datetime(2026, 6, 1, 12, 0, 0, 500_000, tzinfo=UTC)
URLS = StatusUrls(
    ca_issuers="http://pki.test/ca/issuing.cer",
    ocsp="http://pki.test/ocsp/issuing",
    crl="http://pki.test/crl/issuing.crl",
)


def ca_certificate(
    key: algorithms.PrivateKey,
    name: str,
    *,
    issuer: tuple[x509.Certificate, algorithms.PrivateKey] | None = None,
    now: datetime = NOW,
    days: int = 3650,
) -> x509.Certificate:
    """A self-signed root, or an issuing CA under ``issuer``."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None if issuer is None else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    signer = issuer[1] if issuer else key
    if issuer:
        issuer_id = issuer[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
    return builder.sign(signer, algorithms.builder_digest(signer.public_key()))


def spki(key: algorithms.PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Forge:
    """Authorities by the kind of their key, subject keys by kind, shipped profiles by name."""

    authorities: dict[str, tuple[x509.Certificate, algorithms.PrivateKey]]
    keys: dict[str, algorithms.PrivateKey]
    profiles: dict[str, Profile]

    @classmethod
    def make(cls) -> Forge:
        keys: dict[str, algorithms.PrivateKey] = {
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "p521": ec.generate_private_key(ec.SECP521R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate(),
            "mldsa44": mldsa.MLDSA44PrivateKey.generate(),
            "mldsa65": mldsa.MLDSA65PrivateKey.generate(),
            "mldsa87": mldsa.MLDSA87PrivateKey.generate(),
            "rsa2048": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }
        authorities = {kind: (ca_certificate(key, f"Test Issuing {kind}"), key) for kind, key in keys.items()}
        profiles = {name: parse_profile(text) for name, text in shipped_profiles().items()}
        return cls(authorities, keys, profiles)

    def template(self, profile: Profile | str, kind: str = "p256", urls: StatusUrls = URLS) -> Template:
        chosen = self.profiles[profile] if isinstance(profile, str) else profile
        return compile_template(chosen, version=1, authority="issuing", issuer=self.authorities[kind][0], urls=urls)
