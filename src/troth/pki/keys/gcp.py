"""Keys in Google Cloud KMS. Built on its documented behaviour and tested against a server that speaks it; not tried
live.

The signer's identity is the machine's (application default credentials without user files and variables of keys) or a
private service account file that the settings name. ECDSA and RSA keys sign digests, ML-DSA keys µ (the
``…_EXTERNAL_MU`` algorithms), so that CRLs of any size can be signed. Every request carries the CRC32C of its content
and every answer is held against its own: Google asks for both (cloud.google.com/kms/docs/data-integrity-guidelines).

The identity needs cloudkms.cryptoKeys.create, cloudkms.cryptoKeyVersions.get, .viewPublicKey and .useToSign on the
key ring.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from troth.pki.algorithms import MldsaPublicKey, PublicKey, spki_of
from troth.pki.keys.algorithm import MLDSA, KeyAlgorithm
from troth.pki.keys.backend import Made, expect
from troth.pki.keys.crc import crc32c
from troth.pki.keys.errors import (
    CUSTODIAN_ANSWER,
    CUSTODIAN_BUSY,
    CUSTODIAN_DENIED,
    CUSTODIAN_EXTRA,
    CUSTODIAN_SETTINGS,
    CUSTODIAN_TIMEOUT,
    CUSTODIAN_UNAVAILABLE,
    KEY_EVIDENCE,
    KEY_GONE,
    CustodianDown,
    KeyUnavailable,
)
from troth.pki.keys.pins import read_private

#: Algorithm → CryptoKeyVersionAlgorithm.
_NAMES: Mapping[KeyAlgorithm, str] = {
    KeyAlgorithm.P256: "EC_SIGN_P256_SHA256",
    KeyAlgorithm.P384: "EC_SIGN_P384_SHA384",
    KeyAlgorithm.RSA3072: "RSA_SIGN_PKCS1_3072_SHA256",
    KeyAlgorithm.RSA4096: "RSA_SIGN_PKCS1_4096_SHA256",
    KeyAlgorithm.MLDSA44: "PQ_SIGN_ML_DSA_44_EXTERNAL_MU",
    KeyAlgorithm.MLDSA65: "PQ_SIGN_ML_DSA_65_EXTERNAL_MU",
    KeyAlgorithm.MLDSA87: "PQ_SIGN_ML_DSA_87_EXTERNAL_MU",
}
_PQ: Mapping[str, type[MldsaPublicKey]] = {
    "PQ_SIGN_ML_DSA_44_EXTERNAL_MU": mldsa.MLDSA44PublicKey,
    "PQ_SIGN_ML_DSA_65_EXTERNAL_MU": mldsa.MLDSA65PublicKey,
    "PQ_SIGN_ML_DSA_87_EXTERNAL_MU": mldsa.MLDSA87PublicKey,
}
_SCOPES = ("https://www.googleapis.com/auth/cloudkms",)
#: How long a fresh HSM key may be in the making.
_MAKING_SECONDS = 30.0


class GoogleKms:
    """The backend over one key ring.

    Args:
        key_ring: ``projects/…/locations/…/keyRings/…``.
        protection: ``HSM`` or ``SOFTWARE``: what new keys must have.
        credentials_file: of a service account, mode 0600; empty for the machine's identity.
        timeout: seconds of one exchange.
        connect: makes the client instead.
    """

    algorithms = frozenset(_NAMES)
    sealed = False
    longest = 0

    def __init__(
        self,
        key_ring: str,
        *,
        protection: str = "HSM",
        credentials_file: str = "",
        timeout: float = 5.0,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        self._key_ring = key_ring
        self._protection = protection
        self._credentials_file = credentials_file
        self._timeout = timeout
        self._connect = connect or self._connected_client
        self._lock = threading.Lock()
        self._connected: Any = None

    def unseal(self, secret: bytes) -> None:
        """Raises CustodianDown: there is no PIN."""
        raise CustodianDown(CUSTODIAN_SETTINGS, "Google Cloud KMS has no PIN to unseal")

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        """Make a key named ``key_id`` in the ring. Raises KeyUnavailable."""
        template = {"algorithm": _NAMES[algorithm], "protection_level": self._protection}
        made = self._ask(
            "create_crypto_key",
            {
                "parent": self._key_ring,
                "crypto_key_id": key_id,
                "crypto_key": {"purpose": "ASYMMETRIC_SIGN", "version_template": template},
            },
        )
        name = f"{made.name}/cryptoKeyVersions/1"
        version = self._enabled(name)
        if version.import_job or version.protection_level.name != self._protection:
            raise KeyUnavailable(KEY_EVIDENCE, f"Google KMS made a key of {version.protection_level.name}")
        handle = {"version": name, "algorithm": _NAMES[algorithm]}
        evidence = (
            ("version", name),
            ("algorithm", version.algorithm.name),
            ("protection level", version.protection_level.name),
            ("attestation", version.attestation.format.name if version.attestation else "none"),
            ("imported", "false"),
        )
        return Made(handle, self.public_key(handle), evidence)

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        """The public half of an enabled version. Raises KeyUnavailable."""
        name, algorithm = handle["version"], handle["algorithm"]
        request: dict[str, object] = {"name": name}
        if algorithm in _PQ:
            request["public_key_format"] = "NIST_PQC"
        answer = self._ask("get_public_key", request)
        expect(answer.name == name, "Google KMS answered about another key")
        expect(answer.algorithm.name == algorithm, f"the key is of {answer.algorithm.name}, not {algorithm}")
        try:
            if algorithm in _PQ:
                content = bytes(answer.public_key.data)
                _checked(content, answer.public_key.crc32c_checksum)
                return spki_of(_PQ[algorithm].from_public_bytes(content))
            _checked(answer.pem.encode(), answer.pem_crc32c)
            key = load_pem_public_key(answer.pem.encode())
        except ValueError as error:
            raise KeyUnavailable(CUSTODIAN_ANSWER, "Google KMS shows a public key that cannot be read") from error
        if not isinstance(key, PublicKey):
            raise KeyUnavailable(CUSTODIAN_ANSWER, "Google KMS shows a public key of an unknown kind")
        return spki_of(key)

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        """The signature over the message whose digest ``content`` is. Raises KeyUnavailable."""
        field = "external_mu" if algorithm in MLDSA else "sha384" if algorithm is KeyAlgorithm.P384 else "sha256"
        answer = self._ask(
            "asymmetric_sign",
            {"name": handle["version"], "digest": {field: content}, "digest_crc32c": crc32c(content)},
        )
        expect(answer.name == handle["version"], "Google KMS signed with another key")
        expect(bool(answer.verified_digest_crc32c), "the digest did not reach Google KMS whole")
        signature = bytes(answer.signature)
        _checked(signature, answer.signature_crc32c)
        return signature

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._connected = self._connected, None
        if client is not None:
            client.transport.close()

    def _enabled(self, name: str) -> Any:
        deadline = time.monotonic() + _MAKING_SECONDS
        while True:
            version = self._ask("get_crypto_key_version", {"name": name})
            if version.state.name == "ENABLED":
                return version
            if version.state.name != "PENDING_GENERATION" or time.monotonic() > deadline:
                raise KeyUnavailable(KEY_GONE, f"{name} is {version.state.name}")
            time.sleep(0.2)

    def _connected_client(self) -> Any:
        try:
            import google.auth
            from google.cloud.kms_v1 import KeyManagementServiceClient
            from google.oauth2 import service_account
        except ImportError as error:
            raise CustodianDown(CUSTODIAN_EXTRA, "pip install 'troth[gcp]'") from error
        if self._credentials_file:
            read_private(Path(self._credentials_file))
            credentials = service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
                self._credentials_file, scopes=_SCOPES
            )  # fmt: skip
        else:
            credentials, _project = google.auth.default(scopes=_SCOPES)
        return KeyManagementServiceClient(credentials=credentials, transport="rest")

    def _ask(self, operation: str, request: Mapping[str, object]) -> Any:
        try:
            with self._lock:
                if self._connected is None:
                    self._connected = self._connect()
                client = self._connected
            # No retry: the pause between attempts is the custodian's, and a signature is not asked for twice unseen.
            return getattr(client, operation)(request=request, retry=None, timeout=self._timeout)
        except KeyUnavailable:
            raise
        except Exception as error:
            # google-api-core, google-auth, requests and urllib3 all raise their own; what is none of theirs is a
            # defect of ours and goes up as it is.
            trouble = _trouble(error, self._timeout)
            if trouble is None:
                raise
            raise trouble from error


def _checked(content: bytes, checksum: Any) -> None:
    """Raise KeyUnavailable unless ``checksum`` (an integer, or a message that wraps one) is the content's CRC32C."""
    value = getattr(checksum, "value", checksum)
    expect(value is not None and int(value) == crc32c(content), "the answer did not arrive whole (CRC32C)")


def _trouble(error: Exception, timeout: float) -> KeyUnavailable | None:
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    detail = f"Google KMS: {type(error).__name__}"
    if isinstance(error, requests.Timeout | api.GatewayTimeout):
        return CustodianDown(CUSTODIAN_TIMEOUT, f"Google KMS did not answer within {timeout:g} s")
    if isinstance(error, auth.GoogleAuthError | api.Unauthorized):
        return CustodianDown(CUSTODIAN_DENIED, detail)
    if isinstance(error, api.TooManyRequests):
        return CustodianDown(CUSTODIAN_BUSY, detail)
    if isinstance(error, api.Forbidden):
        return KeyUnavailable(CUSTODIAN_DENIED, detail)
    if isinstance(error, api.NotFound | api.FailedPrecondition):
        return KeyUnavailable(KEY_GONE, detail)
    if isinstance(error, api.ServerError | api.RetryError | requests.RequestException):
        return CustodianDown(CUSTODIAN_UNAVAILABLE, detail)
    return KeyUnavailable(CUSTODIAN_ANSWER, detail) if isinstance(error, api.GoogleAPIError) else None
