"""The signer, as every other process sees it.

The one promise that matters: **a request that may have been signed is never sent again.** A request that had left
when the connection broke, or whose answer did not come in time, raises SignerLost; one that had not left waits for
the next connection and raises SignerUnavailable when none comes in time. Questions (keys, health, the notary's state)
change nothing and are repeated silently.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidSignature

from troth.access.approvals.model import Act
from troth.kit.errors import INTERNAL, registered_reasons
from troth.kit.log import get_logger
from troth.pki.algorithms import load_public, verify
from troth.pki.crl_der import CrlFrame
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import SecretUnsafe
from troth.pki.keys.files import read_secret
from troth.pki.keys.model import SOFTWARE, KeyMetadata, KeyPurpose
from troth.pki.signer import acts, protocol
from troth.pki.signer import approvers_protocol as judging
from troth.pki.signer import custody_protocol as custody
from troth.pki.signer.errors import LOST, MALFORMED, UNAVAILABLE, SignerLost, SignerRefused, SignerUnavailable
from troth.pki.signer.link import Link, LinkLost
from troth.pki.signer.sealing import Recipient, Sealed

log = get_logger("pki")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_HANDSHAKE_SECONDS = 5.0
#: Octets of entries in one message.
_PIECE = 1 << 20
#: A token makes an RSA key of 4,096 bits in seconds, some in many.
_MAKING = 60.0
_A = TypeVar("_A")


class SignerClient:
    """A lasting, pipelined connection to the signer under one role.

    >>> async with SignerClient(run / "signer.sock", "web", data / "secrets") as signer:
    ...     signature = await signer.certify(key_id, tbs, certificate_id)

    Args:
        socket: the signer's Unix socket.
        role: as in ``troth.pki.signer.roles``.
        secrets_directory: where ``<role>.secret`` lies; read at each connection.
        timeout: seconds that one call takes at most, waiting for a connection included.
    """

    def __init__(self, socket: Path, role: str, secrets_directory: Path, *, timeout: float = 10.0) -> None:
        self._socket = socket
        self._role = role
        self._secret_file = secrets_directory / f"{role}.secret"
        self._timeout = timeout
        self._secret = b""
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._trouble = "not connected yet"

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def open(self) -> None:
        """Begin to connect, and stay connected until :meth:`close`. Calls wait for the connection by themselves."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_connected())

    async def close(self) -> None:
        """End the connection; calls under way raise SignerLost or SignerUnavailable."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def certify(self, key_id: str, tbs: bytes, reservation_id: UUID) -> bytes:
        """The signature over a TBSCertificate (DER). For the gate, and for nobody else.

        ``reservation_id`` is the UUIDv7 under which the bytes were stored; it is signed at most once, and never if it
        is older than the signer's start.
        """
        request = await self._act(lambda n: protocol.Certify(n, key_id, tbs, reservation_id))
        return _expect(request, protocol.Signature).signature

    async def sign_jwt(self, key_id: str, claims: bytes) -> bytes:
        """The signature of a JWT-SVID over ``claims`` (see ``jwt_svid``)."""
        return _expect(await self._act(lambda n: protocol.SignJwt(n, key_id, claims)), protocol.Signature).signature

    async def sign_crl(self, key_id: str, tbs: bytes) -> bytes:
        """The signature over a TBSCertList (DER), whose number must be above the last."""
        return _expect(await self._act(lambda n: protocol.SignCrl(n, key_id, tbs)), protocol.Signature).signature

    async def sign_crl_stream(
        self, key_id: str, frame: CrlFrame, runs: Iterable[bytes], commit: Callable[[], Awaitable[None]]
    ) -> bytes:
        """The signature over a TBSCertList of any length, sent in pieces; nothing of it is kept here or there.

        ``runs`` are the entries. ``commit`` is called after all of them have gone and before the signature is
        asked for: what it raises ends this, and nothing is signed.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        link = await self._wait_for_link(deadline)
        begun, end = link.next_number(), link.next_number()
        asked = False
        try:
            async with asyncio.timeout_at(deadline):
                begin = protocol.BeginCrl(begun, key_id, frame.head, frame.size, frame.tail)
                _expect(await link.send(begin), protocol.Accepted)
                for run in runs:
                    for at in range(0, len(run), _PIECE):
                        await link.push(protocol.CrlEntries(begun, run[at : at + _PIECE]))
                await commit()
                asked = True
                return _expect(await link.send(protocol.EndCrl(end, begun)), protocol.Signature).signature
        except (LinkLost, TimeoutError) as error:
            if asked and not link.withdraw(end):
                raise SignerLost(LOST, "the connection broke before the answer came") from error
            raise SignerUnavailable(UNAVAILABLE, "the connection broke before all entries had gone") from error
        finally:
            link.withdraw(begun)
            link.withdraw(end)

    async def generate_key(
        self,
        purpose: KeyPurpose,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
        custodian: str = SOFTWARE,
        *,
        proofs: Sequence[judging.Proof] = (),
    ) -> KeyMetadata:
        """Make a key with ``custodian``; ``proofs`` where the signer asks for approvals. A token may take a minute."""
        given = tuple(proofs)
        made = await self._ask(
            lambda n: protocol.GenerateKey(n, purpose, algorithm, given, custodian), repeat=False, patience=_MAKING
        )
        return _expect(made, protocol.Key).key

    async def custody(self) -> custody.CustodyReport:
        """How every custodian is, and which keys cannot be used now."""
        return _expect(await self._question(custody.Custody), custody.CustodyReport)

    async def unseal(self, custodian: str, secret: bytes) -> None:
        """Open a sealed custodian with its secret: a PIN that was put together from its shares."""
        _expect(await self._act(lambda n: custody.Unseal(n, custodian, secret)), protocol.Done)

    async def take_key(self, pkcs8: bytes) -> KeyMetadata:
        """Hand over an issuing key that was made elsewhere (PrivateKeyInfo, DER); for the setup role alone."""
        return _expect(await self._question(lambda n: custody.TakeKey(n, pkcs8)), protocol.Key).key

    async def adopt_key(self, custodian: str, label: str) -> KeyMetadata:
        """Take an issuing key that a custodian holds already; for the setup role alone."""
        return _expect(await self._question(lambda n: custody.AdoptKey(n, custodian, label)), protocol.Key).key

    async def attach_authority(
        self,
        key_id: str,
        certificate: bytes,
        bounds: protocol.Bounds | None = None,
        *,
        proofs: Sequence[judging.Proof] = (),
    ) -> KeyMetadata:
        """Bind an issuing key to its authority's certificate (DER), once; ``proofs`` where it asks for approvals."""
        bounds, given = bounds or protocol.Bounds(), tuple(proofs)
        return _expect(
            await self._act(lambda n: protocol.AttachAuthority(n, key_id, certificate, bounds, given)), protocol.Key
        ).key

    async def release_key(self, key_id: str) -> bytes:
        """The private key of an OCSP responder: PKCS#8, DER, in the clear. It never goes to a file."""
        recipient = Recipient()
        released = await self._question(lambda n: protocol.ReleaseKey(n, key_id, recipient.public))
        answer = _expect(released, protocol.SealedKey)
        return recipient.open(Sealed(answer.ephemeral, answer.ciphertext), secret=self._secret, context=key_id)

    async def checkpoint(self, old_size: int, leaves: Sequence[bytes], at: datetime) -> protocol.SignedCheckpoint:
        """Have the notary extend the ledger from ``old_size``; look at ``extended`` in the answer."""
        return _expect(
            await self._act(lambda n: protocol.Checkpoint(n, old_size, list(leaves), at)), protocol.SignedCheckpoint
        )

    async def approvers(self) -> judging.Approvers:
        """Whose passkeys are pinned, and how many persons must approve."""
        return _expect(await self._question(judging.ListApprovers), judging.Approvers)

    async def ask_registration(self, person: str) -> bytes:
        """The challenge for a new passkey of ``person``."""
        return _expect(await self._question(lambda n: judging.AskRegistration(n, person)), judging.Challenge).challenge

    async def ask_approval(self, act: Act) -> judging.AskedApproval:
        """What one approver's passkey is to sign, so that the signer does ``act``."""
        data = acts.encode(act)
        return _expect(await self._question(lambda n: judging.AskApproval(n, data)), judging.AskedApproval)

    async def pin_approver(self, person: str, label: str, response: bytes, rp_id: str, origins: Sequence[str]) -> None:
        """Pin one of the first two persons' passkeys; for the setup role alone."""
        given = tuple(origins)
        _expect(await self._act(lambda n: judging.PinApprover(n, person, label, response, rp_id, given)), protocol.Done)

    async def register_approver(
        self, person: str, label: str, response: bytes, proofs: Sequence[judging.Proof]
    ) -> None:
        """Pin a further passkey, approved by the present ones."""
        given = tuple(proofs)
        _expect(await self._act(lambda n: judging.RegisterApprover(n, person, label, response, given)), protocol.Done)

    async def remove_approver(self, credential_id: bytes, proofs: Sequence[judging.Proof]) -> None:
        """Unpin a passkey, approved by the present ones."""
        given = tuple(proofs)
        _expect(await self._act(lambda n: judging.RemoveApprover(n, credential_id, given)), protocol.Done)

    async def set_approvals(self, needed: int, proofs: Sequence[judging.Proof]) -> None:
        """Change how many persons must approve, approved by the present ones."""
        given = tuple(proofs)
        _expect(await self._act(lambda n: judging.SetApprovals(n, needed, given)), protocol.Done)

    async def list_keys(self, purpose: KeyPurpose | None = None) -> list[KeyMetadata]:
        """All keys, oldest first."""
        return _expect(await self._question(lambda n: protocol.ListKeys(n, purpose)), protocol.Keys).keys

    async def public_key(self, key_id: str) -> KeyMetadata:
        """About one key."""
        return _expect(await self._question(lambda n: protocol.PublicKey(n, key_id)), protocol.Key).key

    async def notary_state(self) -> protocol.NotaryState:
        """Where the notary stands, and its verifier key."""
        return _expect(await self._question(protocol.NotaryStateRequest), protocol.NotaryState)

    async def health(self, key_id: str | None = None) -> protocol.HealthReport:
        """Proof of life; with ``key_id`` that key signs a nonce and the signature is verified here."""
        nonce = os.urandom(32)
        report = _expect(await self._question(lambda n: protocol.Health(n, nonce, key_id)), protocol.HealthReport)
        if key_id is not None:
            metadata = await self.public_key(key_id)
            try:
                verify(load_public(metadata.public_key), report.signature or b"", protocol.health_message(nonce))
            except InvalidSignature as error:
                raise SignerUnavailable(UNAVAILABLE, f"{key_id} makes signatures that do not verify") from error
        return report

    async def _act(self, build: Callable[[int], protocol.Request]) -> protocol.Answer:
        """Send once; SignerLost when it left and no answer came."""
        return await self._ask(build, repeat=False)

    async def _question(self, build: Callable[[int], protocol.Request]) -> protocol.Answer:
        """Send until answered or out of time: the request changes nothing."""
        return await self._ask(build, repeat=True)

    async def _ask(
        self, build: Callable[[int], protocol.Request], *, repeat: bool, patience: float = 0.0
    ) -> protocol.Answer:
        timeout, loop = max(self._timeout, patience), asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            link = await self._wait_for_link(deadline)
            n = link.next_number()
            answer = link.send(build(n))
            timer = loop.call_at(deadline, _expire, answer)
            try:
                return await answer
            except LinkLost as error:
                if error.sent and not repeat:
                    raise SignerLost(LOST, "the connection broke before the answer came") from None
            except TimeoutError:
                if link.withdraw(n) or repeat:
                    raise SignerUnavailable(UNAVAILABLE, f"no answer within {timeout} s") from None
                raise SignerLost(LOST, f"no answer within {timeout} s") from None
            finally:
                timer.cancel()
                link.withdraw(n)

    async def _wait_for_link(self, deadline: float) -> Link:
        while True:
            link = self._link
            if link is not None and link.alive:
                return link
            if self._keeper is None or self._keeper.done():
                raise SignerUnavailable(UNAVAILABLE, "the client is closed")
            self._linked.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._linked.wait()
            except TimeoutError:
                raise SignerUnavailable(UNAVAILABLE, self._trouble) from None

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    await self._connect()
                    pause = _FIRST_PAUSE
                    if self._link is not None:
                        await asyncio.shield(self._link.ended)
                    self._trouble = "the signer ended the connection"
                except (OSError, TimeoutError, SecretUnsafe, SignerUnavailable) as error:
                    self._trouble = str(error)
                    log.debug("signer.not_reached", error=str(error))
                # The pauses of many clients spread, so that a restarted signer is not met by all at once.
                await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            if self._link is not None:
                self._link.close()
            self._linked.set()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        secret = await loop.run_in_executor(None, read_secret, self._secret_file)
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _transport, link = await loop.create_unix_connection(lambda: Link(self._role, secret), str(self._socket))
            try:
                await link.proved
            except BaseException:
                link.close()
                raise
        self._secret, self._link = secret, link
        self._linked.set()


def _expire(answer: asyncio.Future[protocol.Answer]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _expect(answer: protocol.Answer, kind: type[_A]) -> _A:
    """``answer`` if it is a ``kind``; a Failure raises SignerRefused with the signer's reason."""
    if isinstance(answer, kind):
        return answer
    if isinstance(answer, protocol.Failure):
        raise SignerRefused(registered_reasons().get(answer.code, INTERNAL), answer.detail)
    raise SignerRefused(MALFORMED, f"the signer answered with {type(answer).__name__}")
