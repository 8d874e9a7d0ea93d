"""Security event tokens as transmitters make them, good ones and every kind of bad one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from troth.client.compact import assembled, signing_input
from troth.client.jose import SigningKey
from troth.connect.ssf.secevent import TYPE, Expected
from troth.kit.ids import new_id

ISSUER = "https://idp.example.com"
AUDIENCE = "https://troth.example.com/ssf"
VECTORS = Path(__file__).parents[1] / "vectors" / "ssf" / "examples.json"

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
OKTA = "https://schemas.okta.com/secevent/okta/event-type/"


@cache
def rsa_signer(place: int = 0) -> SigningKey:
    """An RSA key of this test process; ``place`` tells several apart."""
    assert place >= 0
    return SigningKey.generate("RS256")


def expected(**fields: Any) -> Expected:
    """What a stream of these tests expects."""
    values: dict[str, Any] = {
        "issuer": ISSUER, "audiences": frozenset({AUDIENCE}), "max_age": timedelta(days=30),
    }  # fmt: skip
    return Expected(**(values | fields))


def claims_of(
    event: Mapping[str, Any], *, at: datetime, subject: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The claims of a token; one that is given as None is left out."""
    found: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": new_id().hex,
        "iat": int(at.timestamp()),
        "sub_id": dict(subject or {"format": "email", "email": "alice@example.com"}),
        "events": dict(event),
    }
    return {name: value for name, value in (found | more).items() if value is not None}


def token(claims: Mapping[str, Any], key: SigningKey | None = None, *, kid: str | None = "k1", **header: Any) -> str:
    """``claims`` signed; members of the header that are None are left out."""
    signer = key or rsa_signer()
    said: dict[str, Any] = {"alg": signer.public.algorithm, "typ": TYPE, "kid": kid} | header
    text = signing_input({name: value for name, value in said.items() if value is not None}, claims)
    if str(said["alg"]).startswith("PS"):
        assert isinstance(signer.private_key, rsa.RSAPrivateKey)
        hashed = {"PS256": hashes.SHA256(), "PS384": hashes.SHA384(), "PS512": hashes.SHA512()}[said["alg"]]
        scheme = padding.PSS(mgf=padding.MGF1(hashed), salt_length=hashed.digest_size)
        return assembled(text, signer.private_key.sign(text.encode(), scheme, hashed))
    return assembled(text, signer.sign(text.encode()))


def examples() -> list[dict[str, Any]]:
    """The tokens that the specifications show: ``spec``, ``title``, ``claims``."""
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())["examples"]
    return found
