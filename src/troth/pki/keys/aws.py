"""Keys in the AWS Key Management Service.

The signer's identity is what boto3 finds for the machine (instance, container or web identity role) or in a private
credentials file that the settings name. Credentials in environment variables are not looked at: they show in dumps.

A key is found by its ARN, not by its alias, which can be moved to another key. Messages up to 4,096 octets go as they
are; of longer ones (CRLs) the digest, or for ML-DSA µ (``MessageType`` DIGEST and EXTERNAL_MU). Ed25519 is left out:
KMS takes whole messages alone for it, and a CRL outgrows them.

The identity needs kms:CreateKey, kms:CreateAlias, kms:DescribeKey, kms:GetPublicKey and kms:Sign.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from troth.pki.keys.algorithm import MLDSA, KeyAlgorithm
from troth.pki.keys.backend import Made, expect
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

#: Algorithm → (KeySpec, SigningAlgorithm).
_SPECS: Mapping[KeyAlgorithm, tuple[str, str]] = {
    KeyAlgorithm.P256: ("ECC_NIST_P256", "ECDSA_SHA_256"),
    KeyAlgorithm.P384: ("ECC_NIST_P384", "ECDSA_SHA_384"),
    KeyAlgorithm.RSA3072: ("RSA_3072", "RSASSA_PKCS1_V1_5_SHA_256"),
    KeyAlgorithm.RSA4096: ("RSA_4096", "RSASSA_PKCS1_V1_5_SHA_256"),
    KeyAlgorithm.MLDSA44: ("ML_DSA_44", "ML_DSA_SHAKE_256"),
    KeyAlgorithm.MLDSA65: ("ML_DSA_65", "ML_DSA_SHAKE_256"),
    KeyAlgorithm.MLDSA87: ("ML_DSA_87", "ML_DSA_SHAKE_256"),
}
_EVIDENCE = ("Arn", "Origin", "KeyManager", "KeyUsage", "KeySpec", "MultiRegion", "CreationDate")
_NO_IDENTITY = {"UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken",
                "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"}  # fmt: skip
_BUSY = {"ThrottlingException", "Throttling", "LimitExceededException", "TooManyRequestsException",
         "RequestLimitExceeded"}  # fmt: skip
_GONE = {"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidArnException"}


class AwsKms:
    """The backend over one region of KMS.

    Args:
        region: as ``eu-central-1``.
        credentials_file: in AWS's own format, mode 0600; empty for the machine's identity.
        endpoint_url: of a private endpoint; empty for the region's.
        timeout: seconds of one exchange.
    """

    algorithms = frozenset(_SPECS)
    sealed = False
    longest = 4096

    def __init__(
        self, region: str, *, credentials_file: str = "", endpoint_url: str = "", timeout: float = 5.0
    ) -> None:
        self._region = region
        self._credentials_file = credentials_file
        self._endpoint_url = endpoint_url
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connected: Any = None

    def unseal(self, secret: bytes) -> None:
        """Raises CustodianDown: there is no PIN."""
        raise CustodianDown(CUSTODIAN_SETTINGS, "AWS KMS has no PIN to unseal")

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        """Make a key named ``alias/troth-<key id>``. Raises KeyUnavailable."""
        spec = _SPECS[algorithm][0]
        made = self._ask(
            "create_key",
            KeySpec=spec,
            KeyUsage="SIGN_VERIFY",
            Description=f"Troth {key_id}",
            Tags=[{"TagKey": "troth-key", "TagValue": key_id}],
        )["KeyMetadata"]
        if made.get("Origin") != "AWS_KMS" or made.get("KeySpec") != spec or made.get("KeyUsage") != "SIGN_VERIFY":
            raise KeyUnavailable(KEY_EVIDENCE, f"KMS made a key of origin {made.get('Origin')}, {made.get('KeySpec')}")
        arn = str(made["Arn"])
        alias = f"alias/troth-{key_id}"
        self._ask("create_alias", AliasName=alias, TargetKeyId=arn)
        evidence = tuple((name, str(made[name])) for name in _EVIDENCE if name in made)
        handle = {"arn": arn, "alias": alias}
        return Made(handle, self.public_key(handle), evidence)

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        """The public half; KMS also says here whether the key is enabled. Raises KeyUnavailable."""
        state = self._ask("describe_key", KeyId=handle["arn"])["KeyMetadata"]
        if state.get("KeyState") != "Enabled":
            raise KeyUnavailable(KEY_GONE, f"{handle['arn']} is {state.get('KeyState')}")
        answer = self._ask("get_public_key", KeyId=handle["arn"])
        expect(_same(answer, handle), "KMS answered about another key")
        return bytes(answer["PublicKey"])

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        """The signature over the message, or over what was made of it. Raises KeyUnavailable."""
        kind = "RAW"
        if digested:
            kind = "EXTERNAL_MU" if algorithm in MLDSA else "DIGEST"
        wanted = _SPECS[algorithm][1]
        answer = self._ask(
            "sign", KeyId=handle["arn"], Message=content, MessageType=kind, SigningAlgorithm=wanted
        )  # fmt: skip
        expect(_same(answer, handle), "KMS signed with another key")
        expect(answer.get("SigningAlgorithm") == wanted, "KMS signed with another algorithm")
        return bytes(answer["Signature"])

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    def _client(self) -> Any:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> Any:
        try:
            import botocore.config
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise CustodianDown(CUSTODIAN_EXTRA, "pip install 'troth[aws]'") from error
        session = botocore.session.get_session()
        if self._credentials_file:
            read_private(Path(self._credentials_file))
            session.set_config_variable("credentials_file", self._credentials_file)
        session.get_component("credential_provider").remove("env")
        # One attempt: the pause between attempts is the custodian's, and a signature is not asked for twice unseen.
        config = botocore.config.Config(
            connect_timeout=self._timeout,
            read_timeout=self._timeout,
            retries={"total_max_attempts": 1},
            ignore_configured_endpoint_urls=True,
        )
        try:
            return session.create_client(
                "kms", region_name=self._region, endpoint_url=self._endpoint_url or None, config=config
            )
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise CustodianDown(CUSTODIAN_SETTINGS, f"AWS KMS: {error}") from error

    def _ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        client = self._client()
        from botocore import exceptions

        try:
            return dict(getattr(client, operation)(**arguments))
        except exceptions.ClientError as error:
            raise _trouble(error.response) from error
        except (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError) as error:
            raise CustodianDown(CUSTODIAN_TIMEOUT, f"AWS KMS did not answer within {self._timeout:g} s") from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise CustodianDown(CUSTODIAN_DENIED, "there are no AWS credentials for the signer") from error
        except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"AWS KMS: {type(error).__name__}") from error


def _same(answer: Mapping[str, Any], handle: Mapping[str, str]) -> bool:
    """Whether the answer is about the key of ``handle``, which KMS names by its ARN or by the last part of it."""
    told = str(answer.get("KeyId"))
    return told in (handle["arn"], handle["arn"].rpartition("/")[2])


def _trouble(response: Mapping[str, Any]) -> KeyUnavailable:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    detail = f"AWS KMS: {code or status}"
    if code in _BUSY or status == 429:
        return CustodianDown(CUSTODIAN_BUSY, detail)
    if code in _NO_IDENTITY:
        return CustodianDown(CUSTODIAN_DENIED, detail)
    if code.startswith("AccessDenied"):
        return KeyUnavailable(CUSTODIAN_DENIED, detail)  # key policies are per key: the others may well go on
    if code in _GONE:
        return KeyUnavailable(KEY_GONE, detail)
    if status >= 500 or code in ("KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"):
        return CustodianDown(CUSTODIAN_UNAVAILABLE, detail)
    return KeyUnavailable(CUSTODIAN_ANSWER, detail)
