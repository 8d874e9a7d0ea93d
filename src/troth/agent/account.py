"""The agent's account at an ACME server: one key for each issuer, made once and kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from troth.agent import disk
from troth.agent.errors import ISSUER, AgentError
from troth.agent.keys.files import from_pem, generate, to_pem
from troth.agent.settings import IssuerSettings
from troth.agent.state import restore, save
from troth.client.acme import AcmeClient, AcmeError, ExternalBinding
from troth.client.guarded import Beside
from troth.client.jose import SigningKey
from troth.client.transport import Transport, trusting
from troth.kit.errors import TrothError
from troth.kit.log import get_logger

log = get_logger("agent")

_AGENT = "troth-agent"
_AT_ONCE = 4


class KnownAccount(msgspec.Struct, frozen=True):
    """An account that the server has confirmed. Another directory has another account."""

    directory: str
    url: str


class Accounts:
    """The account of one issuer, in its directory of the agent's state."""

    def __init__(self, name: str, settings: IssuerSettings, directory: Path) -> None:
        self._name = name
        self._settings = settings
        self._directory = directory
        self._gate = asyncio.Lock()
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AcmeClient]:
        """A client with the account; a few at once, however many certificates are due. Raises TrothError."""
        async with self._at_once, transport(self._settings) as carrier:
            url = directory_url(self._settings)
            try:
                # One at a time: two certificates that begin together must not make two accounts.
                async with self._gate:
                    client = await self._opened(url, carrier)
                yield client
            except TrothError as error:
                error.detail = self.shown(error.detail)
                error.args = (f"{error.code}: {error.detail}",)
                raise

    def shown(self, text: str) -> str:
        """``text`` as it may be logged: where the directory's URL is a secret, everything below it is, too."""
        if not self._settings.directory_file:
            return text
        below = directory_url(self._settings).rpartition("/")[0]
        try:
            parts = urlsplit(below)
        except ValueError:  # it is no URL, but a secret all the same
            return text.replace(below, "…")
        return text.replace(below, f"{parts.scheme}://{parts.netloc}/…")

    def forget(self) -> None:
        """The server does not know the account any more: ask for it again, with the same key."""
        log.warning("agent.account_forgotten", issuer=self._name)
        disk.remove(self._directory / "account.json")

    async def _opened(self, url: str, carrier: Transport) -> AcmeClient:
        known = restore(self._directory / "account.json", KnownAccount)
        client = await AcmeClient.open(url, key=self._key(), transport=carrier)
        if known is not None and known.directory == url:
            client.account_url = known.url
            return client
        # A reply that was lost is no harm: the same key finds the same account (RFC 8555, 7.3.1).
        account = await client.register(self._settings.contact, binding=self._binding())
        save(self._directory / "account.json", KnownAccount(url, account.url))
        log.info("agent.account", issuer=self._name, account=self.shown(account.url), made=account.created)
        return client

    def _key(self) -> SigningKey:
        place = self._directory / "account.pem"
        found = disk.read(place)
        if found is not None:
            return SigningKey.wrap(from_pem(found, str(place)))
        key = generate("p256")
        disk.make_directory(self._directory)
        disk.write(place, to_pem(key))
        return SigningKey.wrap(key)

    def _binding(self) -> ExternalBinding | None:
        if not self._settings.eab_key_id:
            return None
        return ExternalBinding(self._settings.eab_key_id, secret(self._settings.eab_key_file))


def transport(settings: IssuerSettings, *, sent: bool = False) -> Transport:
    """Connections to the issuer's server; ``sent``: to where its certificates send us. Raises AgentError if what it
    trusts cannot be read."""
    judge = Beside(settings.est or directory_url(settings)) if sent else None
    try:
        return Transport(trusting(settings.trust or None), user_agent=_AGENT, judge=judge)
    except (OSError, ssl.SSLError) as error:
        raise AgentError(ISSUER, f"{settings.trust}: {error.strerror or error}") from error


def directory_url(settings: IssuerSettings) -> str:
    """Where the ACME directory is. Raises AgentError."""
    return settings.directory or secret(settings.directory_file)


def anchors(settings: IssuerSettings) -> bytes:
    """The roots that issued chains must lead to, PEM. Raises AgentError."""
    paths = settings.anchors or ((settings.trust,) if settings.trust else (_system_roots(),))
    found = [disk.read(Path(path)) for path in paths]
    if None in found:
        raise AgentError(ISSUER, f"there is no file {paths[found.index(None)]}")
    return b"\n".join(one for one in found if one)


def secret(path: str) -> str:
    """The one line in the file ``path``. Raises AgentError, which says nothing of the content."""
    found = disk.read(Path(path))
    if found is None:
        raise AgentError(ISSUER, f"there is no file {path}")
    try:
        text = found.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise AgentError(ISSUER, f"{path} does not hold one line of text")
    return text


def is_unknown_account(error: AcmeError) -> bool:
    """Whether the server says that it does not know the account."""
    return error.problem.short_type == "accountDoesNotExist"


def _system_roots() -> str:
    paths = ssl.get_default_verify_paths()
    return paths.cafile or "/etc/ssl/certs/ca-certificates.crt"
