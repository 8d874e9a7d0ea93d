"""From a custodian's settings to its backend. Nothing is loaded or connected here, so this cannot fail for long."""

from __future__ import annotations

from collections.abc import Mapping

from troth.kit.settings import (
    AwsCustodian,
    AzureCustodian,
    CustodianSettings,
    GcpCustodian,
    Pkcs11Custodian,
)
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.aws import AwsKms
from troth.pki.keys.azure import AzureVault
from troth.pki.keys.backend import Backend, Made
from troth.pki.keys.errors import CUSTODIAN_SETTINGS, CustodianDown
from troth.pki.keys.gcp import GoogleKms
from troth.pki.keys.pins import PinSource
from troth.pki.keys.pkcs11_token import Pkcs11Token


def kind_of(settings: CustodianSettings) -> str:
    """``pkcs11``, ``aws``, ``gcp`` or ``azure``."""
    return str(settings.__struct_config__.tag)


def backend_of(settings: CustodianSettings) -> Backend:
    """The backend that ``settings`` describe."""
    timeout = float(settings.timeout_seconds)
    match settings:
        case Pkcs11Custodian():
            return Pkcs11Token(settings.module, settings.token_label, PinSource(settings.pin), timeout=timeout)
        case AwsCustodian():
            return AwsKms(
                settings.region,
                credentials_file=settings.credentials_file,
                endpoint_url=settings.endpoint_url,
                timeout=timeout,
            )
        case GcpCustodian():
            return GoogleKms(
                settings.key_ring,
                protection=settings.protection,
                credentials_file=settings.credentials_file,
                timeout=timeout,
            )
        case AzureCustodian():
            return AzureVault(
                settings.vault_url, hsm=settings.hsm, client_id=settings.client_id, timeout=timeout
            )  # fmt: skip


class Absent:
    """Stands for a custodian that has keys here and is not in the settings any more."""

    algorithms: frozenset[KeyAlgorithm] = frozenset()
    sealed = False
    longest = 0

    def __init__(self, name: str) -> None:
        self._name = name

    def unseal(self, secret: bytes) -> None:
        """Raises CustodianDown, as everything here."""
        raise self._gone()

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        raise self._gone()

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        raise self._gone()

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        raise self._gone()

    def close(self) -> None:
        """Nothing is open."""

    def _gone(self) -> CustodianDown:
        return CustodianDown(CUSTODIAN_SETTINGS, f"{self._name} has keys here, and the settings do not name it")
