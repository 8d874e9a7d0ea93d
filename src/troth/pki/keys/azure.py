"""Keys in Azure Key Vault or a Managed HSM. Built on its documented behaviour and tested at the SDK's transport; not
tried live.

The signer's identity is the machine's: a managed or a workload identity. Secrets in environment variables and the
log-ins of developer tools are not looked at. Every kind of key signs a digest made here, so CRLs of any size can be
signed. Key Vault has no Ed25519 and no ML-DSA. A key is found by name *and version*: a rotated key is another key.

The identity needs the actions keys/create, keys/read and keys/sign.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from troth.pki.algorithms import spki_of
from troth.pki.keys.algorithm import KeyAlgorithm
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

#: Algorithm → (SignatureAlgorithm, curve or None, size or None).
_KINDS: Mapping[KeyAlgorithm, tuple[str, str | None, int | None]] = {
    KeyAlgorithm.P256: ("ES256", "P-256", None),
    KeyAlgorithm.P384: ("ES384", "P-384", None),
    KeyAlgorithm.RSA3072: ("RS256", None, 3072),
    KeyAlgorithm.RSA4096: ("RS256", None, 4096),
}
_CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}


class AzureVault:
    """The backend over one vault.

    Args:
        vault_url: ``https://….vault.azure.net``.
        hsm: whether new keys must be held in an HSM (a premium vault or a Managed HSM).
        client_id: of a user-assigned managed identity; empty for the machine's own.
        timeout: seconds of one exchange.
        connect: makes the client instead.
    """

    algorithms = frozenset(_KINDS)
    sealed = False
    longest = 0

    def __init__(
        self,
        vault_url: str,
        *,
        hsm: bool = True,
        client_id: str = "",
        timeout: float = 5.0,
        connect: Callable[[], Any] | None = None,
    ) -> None:
        self._vault_url = vault_url
        self._hsm = hsm
        self._client_id = client_id
        self._timeout = timeout
        self._connect = connect or self._connected_client
        self._lock = threading.Lock()
        self._connected: Any = None
        self._signers: dict[tuple[str, str], Any] = {}

    def unseal(self, secret: bytes) -> None:
        """Raises CustodianDown: there is no PIN."""
        raise CustodianDown(CUSTODIAN_SETTINGS, "Azure Key Vault has no PIN to unseal")

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        """Make a key named ``key_id``, for signing alone and not exportable. Raises KeyUnavailable."""
        _, curve, size = _KINDS[algorithm]
        kind = f"{'RSA' if curve is None else 'EC'}{'-HSM' if self._hsm else ''}"
        shape = {"size": size} if curve is None else {"curve": curve}
        made = self._ask(
            lambda client: client.create_key(
                key_id, kind, key_operations=["sign"], tags={"troth-key": key_id}, **shape
            )
        )  # fmt: skip
        handle = {"name": key_id, "version": str(made.properties.version)}
        if _word(made.key_type) != kind or made.properties.exportable:
            raise KeyUnavailable(KEY_EVIDENCE, f"Key Vault made a key of {_word(made.key_type)}, not {kind}")
        evidence = (
            ("id", str(made.id)),
            ("key type", _word(made.key_type)),
            ("exportable", "false"),
            ("operations", " ".join(_word(operation) for operation in made.key_operations or ())),
            ("hsm platform", str(made.properties.hsm_platform or "not told")),
            ("recovery level", str(made.properties.recovery_level or "not told")),
        )
        return Made(handle, _spki(made), evidence)

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        """The public half of an enabled key. Raises KeyUnavailable."""
        found = self._ask(lambda client: client.get_key(handle["name"], handle["version"]))
        if not found.properties.enabled:
            raise KeyUnavailable(KEY_GONE, f"{handle['name']} is disabled")
        expect(found.properties.version == handle["version"], "Key Vault answered about another version")
        return _spki(found)

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        """The signature over the message whose digest ``content`` is. Raises KeyUnavailable."""
        name = _KINDS[algorithm][0]

        def act(client: Any) -> Any:
            from azure.keyvault.keys.crypto import SignatureAlgorithm

            place = (handle["name"], handle["version"])
            signer = self._signers.get(place)
            if signer is None:
                signer = client.get_cryptography_client(place[0], key_version=place[1])
                self._signers[place] = signer
            return signer.sign(SignatureAlgorithm(name), content)

        answer = self._ask(act)
        told = str(answer.key_id or "")
        expect(told.endswith(f"/keys/{handle['name']}/{handle['version']}"), "Key Vault signed with another key")
        signature = bytes(answer.signature)
        if algorithm not in (KeyAlgorithm.P256, KeyAlgorithm.P384):
            return signature
        # r ‖ s, each of the curve's length (RFC 7518, 3.4).
        half = 32 if algorithm is KeyAlgorithm.P256 else 48
        expect(len(signature) == 2 * half, "Key Vault made an ECDSA signature of the wrong length")
        return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._connected = self._connected, None
            signers, self._signers = list(self._signers.values()), {}
        for one in (*signers, client):
            if one is not None:
                one.close()

    def _connected_client(self) -> Any:
        try:
            from azure.identity import ChainedTokenCredential, ManagedIdentityCredential, WorkloadIdentityCredential
            from azure.keyvault.keys import KeyClient
        except ImportError as error:
            raise CustodianDown(CUSTODIAN_EXTRA, "pip install 'troth[azure]'") from error
        chosen: dict[str, Any] = {"client_id": self._client_id} if self._client_id else {}
        identities: list[Any] = [ManagedIdentityCredential(**chosen)]
        try:
            identities.insert(0, WorkloadIdentityCredential(**chosen))
        except ValueError:
            pass  # no workload identity on this machine
        return KeyClient(
            self._vault_url,
            ChainedTokenCredential(*identities),
            # No retry: the pause between attempts is the custodian's, and a signature is not asked for twice unseen.
            retry_total=0,
            connection_timeout=self._timeout,
            read_timeout=self._timeout,
        )

    def _ask(self, act: Callable[[Any], Any]) -> Any:
        try:
            with self._lock:
                if self._connected is None:
                    self._connected = self._connect()
                client = self._connected
            return act(client)
        except KeyUnavailable:
            raise
        except Exception as error:
            # azure-core has one root for its own errors; what is none of them is a defect of ours and goes up.
            trouble = _trouble(error, self._timeout)
            if trouble is None:
                raise
            raise trouble from error


def _word(value: Any) -> str:
    """A word that the SDK gives as one of its enumerations, or as it came."""
    return str(getattr(value, "value", value))


def _spki(found: Any) -> bytes:
    """SubjectPublicKeyInfo of a JSON web key. Raises KeyUnavailable."""
    key = found.key
    try:
        if key.crv is not None:
            curve = _CURVES[_word(key.crv)]
            x, y = int.from_bytes(key.x, "big"), int.from_bytes(key.y, "big")
            return spki_of(ec.EllipticCurvePublicNumbers(x, y, curve).public_key())
        numbers = rsa.RSAPublicNumbers(int.from_bytes(key.e, "big"), int.from_bytes(key.n, "big"))
        return spki_of(numbers.public_key())
    except (ValueError, TypeError, KeyError) as error:
        raise KeyUnavailable(CUSTODIAN_ANSWER, "Key Vault shows a public key that cannot be read") from error


def _trouble(error: Exception, timeout: float) -> KeyUnavailable | None:
    from azure.core import exceptions as core

    if not isinstance(error, core.AzureError):
        return None
    status = getattr(error, "status_code", None)
    detail = f"Azure Key Vault: {status or type(error).__name__}"
    if isinstance(error, core.ServiceRequestTimeoutError | core.ServiceResponseTimeoutError):
        return CustodianDown(CUSTODIAN_TIMEOUT, f"Azure Key Vault did not answer within {timeout:g} s")
    if isinstance(error, core.ClientAuthenticationError) or status == 401:
        return CustodianDown(CUSTODIAN_DENIED, detail)
    if status == 429:
        return CustodianDown(CUSTODIAN_BUSY, detail)
    if status == 403:
        # Forbidden names the key as often as the vault (a disabled key answers 403, too): the others may go on.
        return KeyUnavailable(CUSTODIAN_DENIED, detail)
    if status in (404, 409):
        return KeyUnavailable(KEY_GONE, detail)
    if status is None or status >= 500:
        return CustodianDown(CUSTODIAN_UNAVAILABLE, detail)
    return KeyUnavailable(CUSTODIAN_ANSWER, detail)
