"""Key services in particular: what each fault becomes, what they are asked, and what of an answer is not believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from tests.support.custodians import Bench, azure_backend, google_backend
from troth.pki import algorithms
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.aws import AwsKms
from troth.pki.keys.crc import crc32c
from troth.pki.keys.errors import CustodianDown, KeyUnavailable
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.prehash import new_digest, sign_digest

served = pytest.mark.parametrize("bench", ["gcp", "azure"], indirect=True)


def signs(keys: Keyring, key: KeyMetadata) -> None:
    algorithms.verify(
        algorithms.load_public(key.public_key), keys.signing_key(key.key_id).sign(b"message"), b"message"
    )  # fmt: skip


@served
@pytest.mark.parametrize(
    ("fault", "code", "whole"),
    [
        ("403", "keys.custodian_denied", False),
        ("429", "keys.custodian_busy", True),
        ("500", "keys.custodian_unavailable", True),
        ("timeout", "keys.custodian_timeout", True),
        ("gone", "keys.gone", False),
        ("algorithm", "keys.custodian_answer", False),
    ],
)
def test_each_fault_is_a_clear_error_of_the_key_or_of_the_service_and_passes(
    bench: Bench, fault: str, code: str, whole: bool
) -> None:
    assert bench.service is not None
    keys = bench.open()
    made = keys.generate(KeyPurpose.ISSUING, custodian=bench.name)
    signs(keys, made)
    if fault == "timeout":
        keys.close()
        backend = google_backend if bench.name == "gcp:test" else azure_backend
        impatient = backend(bench.service, 2.0)
        keys = Keyring.open(bench.data, bench.clock, backends={bench.name: impatient})
    bench.service.fault = fault
    with pytest.raises(KeyUnavailable) as caught:
        signs(keys, made)
    assert caught.value.code == code
    assert isinstance(caught.value, CustodianDown) is whole
    bench.service.fault = ""
    bench.clock.advance(timedelta(minutes=1))
    signs(keys, made)
    assert keys.troubles() == []
    keys.close()


@pytest.mark.parametrize("bench", ["gcp"], indirect=True)
def test_an_answer_that_was_damaged_on_the_way_is_not_used(bench: Bench) -> None:
    assert bench.service is not None
    keys = bench.open()
    made = keys.generate(KeyPurpose.ISSUING, custodian=bench.name)
    bench.service.fault = "crc"
    for _ in range(2):
        with pytest.raises(KeyUnavailable) as caught:
            signs(keys, made)
        assert caught.value.code == "keys.custodian_answer"
        assert "CRC32C" in caught.value.detail
    keys.close()


@served
def test_a_signature_is_asked_for_once_and_over_a_digest(bench: Bench) -> None:
    assert bench.service is not None
    keys = bench.open()
    made = keys.generate(KeyPurpose.ISSUING, custodian=bench.name)
    keys.signing_key(made.key_id).sign(b"a certificate to be signed" * 1000)
    asked = [path for method, path in bench.service.requests if method == "POST" and "ign" in path.rpartition("/")[2]]
    assert len(asked) == 1
    assert max(len(json.dumps(body)) for body in bench.service.bodies) < 1000
    bench.service.fault = "500"
    before = len(bench.service.requests)
    with pytest.raises(KeyUnavailable):
        keys.signing_key(made.key_id).sign(b"once")
    assert len(bench.service.requests) == before + 1  # no retries behind our back
    keys.close()


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


class _Client:
    """AWS KMS as its API reference describes it, for what moto does not do: digests and µ."""

    def __init__(self, key: Any) -> None:
        self.key, self.asked = key, []  # type: ignore[var-annotated]

    def sign(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        signature = sign_digest(self.key, arguments["Message"])
        return {"KeyId": arguments["KeyId"], "SigningAlgorithm": arguments["SigningAlgorithm"], "Signature": signature}

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("algorithm", "make", "kind", "name"),
    [
        (KeyAlgorithm.P384, lambda: ec.generate_private_key(ec.SECP384R1()), "DIGEST", "ECDSA_SHA_384"),
        (KeyAlgorithm.MLDSA65, mldsa.MLDSA65PrivateKey.generate, "EXTERNAL_MU", "ML_DSA_SHAKE_256"),
    ],
)
def test_what_is_too_long_for_aws_is_signed_by_its_digest(
    monkeypatch: pytest.MonkeyPatch, algorithm: KeyAlgorithm, make: Callable[[], Any], kind: str, name: str
) -> None:
    key = make()
    client, backend = _Client(key), AwsKms("eu-central-1")
    monkeypatch.setattr(backend, "_connect", lambda: client)
    message = b"crl" * 5000
    digest = new_digest(key.public_key())
    assert digest is not None
    digest.update(message)
    signature = backend.sign({"arn": "arn:aws:kms:x:1:key/1"}, algorithm, digest.digest(), digested=True)
    algorithms.verify(key.public_key(), signature, message)
    assert [(one["MessageType"], one["SigningAlgorithm"]) for one in client.asked] == [(kind, name)]


@pytest.mark.parametrize("bench", ["aws"], indirect=True)
@pytest.mark.parametrize(
    ("code", "status", "wanted", "whole"),
    [
        ("AccessDeniedException", 400, "keys.custodian_denied", False),
        ("ThrottlingException", 400, "keys.custodian_busy", True),
        ("DisabledException", 409, "keys.gone", False),
        ("ExpiredTokenException", 403, "keys.custodian_denied", True),
        ("KMSInternalException", 500, "keys.custodian_unavailable", True),
        ("InvalidKeyUsageException", 400, "keys.custodian_answer", False),
    ],
)
def test_each_error_of_aws_is_a_clear_error_of_the_key_or_of_the_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str, status: int, wanted: str, whole: bool
) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        def sign(self, **_: Any) -> dict[str, Any]:
            answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(answer, "Sign")

    backend = AwsKms("eu-central-1")
    monkeypatch.setattr(backend, "_connect", Refusing)
    with pytest.raises(KeyUnavailable) as caught:
        backend.sign({"arn": "a"}, KeyAlgorithm.P256, b"m", digested=False)
    assert (caught.value.code, isinstance(caught.value, CustodianDown)) == (wanted, whole)


@pytest.mark.parametrize("bench", ["aws"], indirect=True)
def test_a_disabled_key_of_aws_is_told_and_is_back_when_it_is_enabled(bench: Bench) -> None:
    keys = bench.open()
    made = keys.generate(KeyPurpose.ISSUING, custodian=bench.name)
    arn = dict(made.evidence)["Arn"].rpartition("/")[2]
    backend = keys.held[bench.name]._backend
    client = backend._client()  # type: ignore[attr-defined]
    client.disable_key(KeyId=arn)
    keys.held[bench.name].check()
    assert [trouble.code for trouble in keys.troubles()] == ["keys.gone"]
    client.enable_key(KeyId=arn)
    keys.held[bench.name].check()
    signs(keys, made)
    keys.close()


def test_aws_credentials_in_variables_or_in_an_open_file_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAVARIABLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-in-a-variable")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    backend = AwsKms("eu-central-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(KeyUnavailable) as caught:
        backend.public_key({"arn": "a"})
    assert caught.value.code == "keys.custodian_denied"
    shared = tmp_path / "credentials"
    shared.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    shared.chmod(0o644)
    with pytest.raises(KeyUnavailable) as caught:
        AwsKms("eu-central-1", credentials_file=str(shared)).public_key({"arn": "a"})
    assert caught.value.code == "keys.secret_unsafe"


def test_no_key_service_is_imported_until_a_custodian_needs_it() -> None:
    import subprocess
    import sys

    program = (
        "import sys, troth.pki.signer.server, troth.pki.signer.client; "
        "print(sorted({'pkcs11', 'botocore', 'google', 'azure', 'requests'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
