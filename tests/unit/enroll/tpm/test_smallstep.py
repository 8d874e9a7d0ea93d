"""What smallstep's own client sent (``vectors/tpm/smallstep.json``): read, judged and answered as it stands.

Its attestation key is RSA, unlike that of Troth's agent.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from troth.enroll.tpm.attestation_key import check_creation, read_attestation_key
from troth.enroll.tpm.credential import make_credential
from troth.enroll.tpm.endorsement import EK_PURPOSE, endorse, read_certificates, read_endorsement_key
from troth.enroll.tpm.errors import TpmRefused
from troth.enroll.tpm.routes import read_attest_request
from troth.enroll.tpm.signature import verify_signature
from troth.pki.anchor_store import TrustAnchor
from troth.tpm.structures import Certified, read_attest, read_public, read_signature

VECTOR: dict[str, Any] = json.loads(
    Path(__file__).parents[3].joinpath("vectors/tpm/smallstep.json").read_text(encoding="utf-8")
)
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def test_its_request_is_read_and_all_of_it_holds() -> None:
    evidence = read_attest_request(json.dumps(VECTOR["attest"]).encode())
    root = x509.load_pem_x509_certificate(VECTOR["root"].encode()).public_bytes(Encoding.DER)
    anchor = TrustAnchor(hashlib.sha256(root).digest(), "maker", root, (EK_PURPOSE,), NOW, NOW, "test")
    endorsement = endorse(read_certificates(evidence.certificates), [replace(anchor, not_after=NOW)], NOW)
    assert endorsement.sha256 == read_endorsement_key(evidence.ek).sha256
    key = read_attestation_key(evidence.public)
    check_creation(key, evidence.creation_data, evidence.attestation, evidence.signature)
    made = make_credential(endorsement.key, key.name, bytes(32))
    # Its client cuts the two size octets off each before it hands them to the TPM.
    assert (len(made.identity), len(made.secret)) == (2 + 2 + 32 + 34, 2 + 256)


def test_what_its_key_certifies_is_bound_to_the_key_authorization() -> None:
    evidence = read_attest_request(json.dumps(VECTOR["attest"]).encode())
    certified = {name: b64decode(value) for name, value in VECTOR["certified"].items()}
    attest = read_attest(certified["createAttestation"])
    assert isinstance(attest.attested, Certified)
    assert attest.attested.name == read_public(certified["public"]).name
    assert attest.extra == hashlib.sha256(VECTOR["key_authorization"].encode()).digest()
    signature, key = read_signature(certified["createSignature"]), read_attestation_key(evidence.public).key
    verify_signature(signature, key, certified["createAttestation"])
    with pytest.raises(TpmRefused, match="does not verify"):
        verify_signature(signature, key, evidence.attestation)
