"""A server's door that is no server: SVIDs made on the spot, refusals and failures as a test wishes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.mint import ca_certificate

if TYPE_CHECKING:
    from troth.kit.clock import Clock


def to_der(certificate: Any) -> bytes:
    """Its DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.DER))


@dataclass
class SvidServer:
    """Answers ``/workload/svid``, ``/workload/jwt`` and ``/workload/standing``.

    Attributes:
        refuse: code of a refusal, of all or of one path.
        fail: raise Unavailable. status: of refusals.
        ended: digests that are told as ended.
        asked: (path, payload) in order.
    """

    clock: Clock
    life: timedelta = timedelta(minutes=10)
    refuse: dict[str, str] = field(default_factory=dict)
    fail: bool = False
    status: int = 403
    ended: list[str] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    token_life: timedelta = timedelta(minutes=5)
    change: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        from troth.client.jose import SigningKey

        self.token_key = SigningKey.generate()
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = ca_certificate(self.root_key, "Root", self.clock.now())
        self.roots = [to_der(self.root)]

    async def ask(self, path: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        from troth.agent.door.client import Refused, Unavailable
        from troth.agent.door.errors import SERVER

        self.asked.append((path, payload))
        if self.fail:
            raise Unavailable(SERVER, "no answer")
        code = self.refuse.get(path) or self.refuse.get(str(payload.get("workload")))
        if code:
            raise Refused(SERVER, code, code=code, status=self.status)
        if path == "/workload/jwt":
            return {"token": self.token(payload), "jwt_keys": self.jwt_keys(), **self.change}
        roots = [base64.b64encode(one).decode() for one in self.roots]
        if path == "/workload/standing":
            ended = [one for one in payload["certificates"] if one in self.ended]
            return {"ended": ended, "roots": roots, "jwt_keys": self.jwt_keys()}
        chain = [base64.b64encode(self.leaf(payload)).decode()]
        said = {"chain": chain, "roots": roots, "jwt_keys": self.jwt_keys()}
        return {**said, **self.change}

    def jwt_keys(self) -> list[dict[str, str]]:
        """The key of tokens as a JWK."""
        return [{**self.token_key.public.jwk, "kid": "k1", "use": "jwt-svid"}]

    def token(self, payload: Mapping[str, Any], /, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token for the request in ``payload``; ``header`` and ``claims`` change it, None removes."""
        from troth.client.jose import b64url_encode

        now = int(self.clock.now().timestamp())
        said = {
            "sub": f"spiffe://corp.example/{payload['workload']}", "aud": payload["audience"], "iat": now,
            "exp": now + int(self.token_life.total_seconds()), "jti": str(len(self.asked)), **claims,
        }  # fmt: skip
        head = {"alg": "ES256", "kid": "k1", "typ": "JWT", **(header or {})}
        parts = [{name: value for name, value in one.items() if value is not None} for one in (head, said)]
        signed = ".".join(b64url_encode(msgspec.json.encode(one)) for one in parts)
        return f"{signed}.{b64url_encode(self.token_key.sign(signed.encode()))}"

    def leaf(self, payload: Mapping[str, Any]) -> bytes:
        """A certificate for the request in ``payload``."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        from troth.client.jose import b64url_decode

        request = x509.load_der_x509_csr(b64url_decode(payload["csr"]))
        now = self.clock.now()
        name = x509.UniformResourceIdentifier(f"spiffe://corp.example/{payload['workload']}")
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + self.life)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.root_key, hashes.SHA256())
        )
        return to_der(certificate)
