"""The five custodians, ready for the tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.support.key_services import AzureVaultServer, GoogleKmsServer, KeyService
from tests.support.tokens import SoftToken
from troth.kit.clock import FakeClock
from troth.kit.settings import AwsCustodian, CustodianSettings, Pkcs11Custodian
from troth.pki.keys.azure import AzureVault
from troth.pki.keys.backend import Backend
from troth.pki.keys.gcp import GoogleKms
from troth.pki.keys.keyring import Keyring

RING = "projects/p/locations/europe-west3/keyRings/troth"


@dataclass
class Bench:
    """One custodian under test.

    ``breaks`` makes it unreachable, ``mends`` makes it well again; software has neither.
    """

    name: str
    data: Path
    clock: FakeClock
    settings: dict[str, CustodianSettings] = field(default_factory=dict)
    backends: Callable[[], dict[str, Backend]] = dict
    breaks: Callable[[], None] | None = None
    mends: Callable[[], None] | None = None
    service: KeyService | None = None
    token: SoftToken | None = None

    def open(self) -> Keyring:
        return Keyring.open(self.data, self.clock, self.settings, backends=self.backends())


def google_backend(service: KeyService, timeout: float = 20.0) -> GoogleKms:
    """The product's backend, speaking to ``service`` over HTTP."""

    def connect() -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.kms_v1 import KeyManagementServiceClient
        from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport

        transport = KeyManagementServiceRestTransport(
            host=service.address,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            url_scheme="http",
        )
        return KeyManagementServiceClient(transport=transport)

    return GoogleKms(RING, timeout=timeout, connect=connect)


def azure_backend(service: KeyService, timeout: float = 20.0) -> AzureVault:
    """The product's backend, whose SDK's transport goes to ``service`` where it would go to the vault."""

    def connect() -> Any:
        from azure.core.credentials import AccessToken
        from azure.core.pipeline.transport import RequestsTransport
        from azure.keyvault.keys import KeyClient

        class Credential:
            def get_token(self, *scopes: str, **options: Any) -> AccessToken:
                return AccessToken("token-of-a-test", 2**40)

        class ToTheService(RequestsTransport):  # type: ignore[misc]  # the SDK does not say what it is
            def send(self, request: Any, **options: Any) -> Any:
                # The SDK sends its tokens over TLS alone, so the URL is changed behind its back, and changed back.
                asked = request.url
                request.url = asked.replace("https://vault.vault.azure.net", f"http://{service.address}")
                try:
                    return super().send(request, **options)
                finally:
                    request.url = asked

        transport = ToTheService(connection_timeout=timeout, read_timeout=timeout)
        return KeyClient("https://vault.vault.azure.net", Credential(), transport=transport, retry_total=0)

    return AzureVault("https://vault.vault.azure.net", timeout=timeout, connect=connect)


CUSTODIANS = ("software", "pkcs11", "aws", "gcp", "azure")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    """``@pytest.mark.parametrize("bench", CUSTODIANS, indirect=True)``."""
    match request.param:
        case "software":
            yield Bench("software", tmp_path / "data", clock)
        case "pkcs11":
            token: SoftToken = request.getfixturevalue("soft_token")
            settings = Pkcs11Custodian(module=token.library, token_label=token.label, pin=f"file:{token.pin_file}")
            yield Bench(
                "pkcs11:test", tmp_path / "data", clock, {"test": settings}, breaks=token.pull, mends=token.put_back,
                token=token,
            )  # fmt: skip
        case "aws":
            yield from _aws(tmp_path, clock)
        case "gcp":
            with GoogleKmsServer().running() as service:
                yield _served("gcp:test", tmp_path, clock, service, google_backend)
        case "azure":
            with AzureVaultServer().running() as service:
                yield _served("azure:test", tmp_path, clock, service, azure_backend)


def _served(
    name: str, tmp_path: Path, clock: FakeClock, service: KeyService, backend: Callable[[KeyService], Backend]
) -> Bench:
    def down() -> None:
        service.fault = "500"

    def up() -> None:
        service.fault = ""

    return Bench(
        name, tmp_path / "data", clock, backends=lambda: {name: backend(service)}, breaks=down, mends=up,
        service=service,
    )  # fmt: skip


def _aws(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    from botocore import awsrequest
    from moto import mock_aws

    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-of-a-test\n")
    credentials.chmod(0o600)
    settings = AwsCustodian(region="eu-central-1", credentials_file=str(credentials))
    with mock_aws():
        from moto.core.models import botocore_stubber

        real = botocore_stubber.__call__
        state = {"down": False}

        def answer(event_name: str, request: awsrequest.AWSPreparedRequest, **more: Any) -> Any:
            if state["down"]:
                return awsrequest.AWSResponse(request.url, 503, {}, _Empty())
            return real(event_name, request, **more)

        with mock.patch.object(type(botocore_stubber), "__call__", lambda _self, *a, **k: answer(*a, **k)):
            yield Bench(
                "aws:test", tmp_path / "data", clock, {"test": settings},
                breaks=lambda: state.update(down=True), mends=lambda: state.update(down=False),
            )  # fmt: skip


class _Empty:
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield b""

    def read(self, *_: Any) -> bytes:
        return b""
