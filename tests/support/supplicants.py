"""Devices that join by EAP-TLS, and the authorities that certified them: no sockets, OpenSSL's client in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from troth.kit.clock import SystemClock
from troth.radius.eap.contexts import Contexts, NetworkTls
from troth.radius.eap.identity import ServerIdentity, identity_of
from troth.radius.eap.model import Challenge, Opening, Proved, Step
from troth.radius.eap.openssl import use_key
from troth.radius.eap.server import EapServer
from troth.radius.eap.settings import EapLimits
from troth.radius.eap.state import StateMaker

SERVER = "radius.corp.test"
CLIENT, SERVER_USE = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Holder:
    """A certificate, its key, and whoever issued it."""

    certificate: x509.Certificate
    key: Any
    issuer: Holder | None = None

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def sha256(self) -> bytes:
        """Of the certificate."""
        return sha256(self.der).digest()

    @property
    def pkcs8(self) -> bytes:
        """The key."""
        return bytes(self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

    def above(self) -> list[Holder]:
        """Its issuers, up to the root."""
        return [] if self.issuer is None else [self.issuer, *self.issuer.above()]


_KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
}


def certify(
    name: str,
    issuer: Holder | None = None,
    *,
    usage: x509.ObjectIdentifier | None = None,
    days: tuple[float, float] = (-1, 30),
    kind: str = "p256",
) -> Holder:
    """A certificate; without ``usage`` it is an authority's. ``days``: from and to, counted from now."""
    key = _KEYS[kind]()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    signer = key if issuer is None else issuer.key
    digest = None if isinstance(signer, mldsa.MLDSA65PrivateKey) else hashes.SHA256()
    return Holder(builder.sign(signer, digest), key, issuer)


@dataclass(frozen=True)
class Lab:
    """A root, an issuing authority below it, a server and a client that it certified."""

    root: Holder
    issuing: Holder
    server: Holder
    client: Holder

    @property
    def identity(self) -> ServerIdentity:
        """Of the server."""
        return identity_of((self.server.der, self.issuing.der, self.root.der), self.server.pkcs8)

    def network(self, **changes: Any) -> NetworkTls:
        """A network that trusts the issuing authority."""
        return replace(NetworkTls("corp", "1", (self.issuing.der,)), **changes)


def status_of(certificate: Holder) -> bytes:
    """An OCSP response of its issuer: good, for a day."""
    assert certificate.issuer is not None
    now = datetime.now(UTC)
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate.certificate,
            issuer=certificate.issuer.certificate,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + timedelta(days=1),
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, certificate.issuer.certificate)
        .sign(certificate.issuer.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@lru_cache
def lab(kind: str = "p256") -> Lab:
    """One lab for every test, since none changes it."""
    root = certify("root", kind=kind)
    issuing = certify("issuing", root, kind=kind)
    return Lab(
        root,
        issuing,
        certify(SERVER, issuing, usage=SERVER_USE, kind=kind),
        certify("laptop", issuing, usage=CLIENT, kind=kind),
    )


def eap_server(
    networks: Sequence[NetworkTls] | None = None,
    *,
    identity: ServerIdentity | None = None,
    limits: EapLimits | None = None,
    judge: Callable[[str, bytes], str | None] | None = None,
    contexts: Contexts | None = None,
    worker: int = 0,
    clock: Any = None,
) -> EapServer:
    """A server of one network that trusts the lab's issuing authority, unless told otherwise."""
    made = contexts or Contexts()
    if contexts is None:
        made.install(identity or lab().identity, networks or [lab().network()])
    states = StateMaker(b"k" * 32, node=0, worker=worker)
    return EapServer(made, states, clock or SystemClock(), limits or EapLimits(), judge)


OPENING = Opening("ap-1", "corp", "laptop@corp.test", "aa-bb-cc-dd-ee-ff", 1400)


@dataclass
class Joined:
    """How an attempt ended.

    Attributes:
        step: the last one: Succeed, Fail or Ignore.
        trips: packets of the device.
        trusted: what the device itself ended with: None, or OpenSSL's words for its error (an alert of ours).
        protected: the protected success arrived (TLS 1.3).
        longest: the longest EAP request.
    """

    step: Step
    trips: int = 0
    trusted: str | None = None
    protected: bool = False
    longest: int = 0
    proved: list[Proved] = field(default_factory=list)
    keys: bytes = b""
    resumed: bool = False
    staple: bytes | None = None
    requests: list[bytes] = field(default_factory=list)


class Supplicant:
    """A device: one context, so that its sessions may be resumed.

    Args:
        holder: its certificate; None: it shows none.
        version: ``1.2`` or ``1.3``.
        groups: of its key exchange, OpenSSL's names; empty: the library's own.
        signatures: that it takes and makes, OpenSSL's names in its order; empty: the library's own.
        chain: what it sends above its leaf; None: everything but the root.
        anchor, anchor_certificate: whom it trusts.
        at: what its clock shows; None: the present.
    """

    def __init__(
        self,
        holder: Holder | None,
        version: str = "1.3",
        *,
        groups: str = "X25519:P-256",
        signatures: str = "",
        fragment: int = 1398,
        staple: bool = False,
        chain: Sequence[Holder] | None = None,
        anchor: Holder | None = None,
        anchor_certificate: x509.Certificate | None = None,
        at: datetime | None = None,
        tickets: bool = True,
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        number = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}[version]
        context.set_min_proto_version(number)
        context.set_max_proto_version(number)
        store = context.get_cert_store()
        assert store is not None
        trusted = anchor_certificate or (anchor or lab().root).certificate
        store.add_cert(crypto.X509.from_cryptography(trusted))
        if at is not None:
            store.set_time(at)
        context.set_verify(SSL.VERIFY_PEER, None)
        if holder is not None:
            context.use_certificate(holder.certificate)
            use_key(context, holder.pkcs8)
            for one in holder.above()[:-1] if chain is None else chain:
                context.add_extra_chain_cert(one.certificate)
        if not tickets:
            context.set_options(SSL.OP_NO_TICKET)
        if groups:
            SSL._lib.SSL_CTX_set1_curves_list(context._context, groups.encode())  # type: ignore[attr-defined]
        if signatures:
            SSL._lib.SSL_CTX_set1_sigalgs_list(context._context, signatures.encode())  # type: ignore[attr-defined]
        self.staples: list[bytes] = []
        self._staple = staple
        if staple:
            context.set_ocsp_client_callback(self._stapled)
        self.version, self.fragment = version, fragment
        self._context = context
        self.session: Any = None

    def _stapled(self, connection: SSL.Connection, response: bytes, data: object) -> bool:
        self.staples.append(response)
        return True

    def join(
        self,
        server: EapServer,
        opening: Opening = OPENING,
        *,
        admitted: bool | Callable[[Proved], bool] = True,
        serve: Callable[[bytes | None, bytes, Opening], Step] | None = None,
    ) -> Joined:
        """One attempt, to its end. ``serve``: how a packet is answered, if not by ``server`` itself."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        if self._staple:
            connection.request_ocsp()
        if self.session is not None:
            connection.set_session(self.session)
        identity = b"\x02\x07" + (5 + len(opening.identity)).to_bytes(2, "big") + b"\x01" + opening.identity.encode()
        answer = serve or (
            lambda state, eap, opening: (
                server.begin(opening, eap) if state is None else server.respond(state, eap, opening)
            )
        )
        result = Joined(answer(None, identity, opening), 1)
        half = _Half(connection, self.fragment)
        while True:
            step = result.step
            if isinstance(step, Proved):
                result.proved.append(step)
                let_in = admitted if isinstance(admitted, bool) else admitted(step)
                result.step = server.conclude(step.conversation, admitted=let_in, detail="" if let_in else "not today")
                continue
            if not isinstance(step, Challenge):
                break
            result.longest = max(result.longest, len(step.eap))
            result.requests.append(step.eap)
            result.trips += 1
            result.step = answer(step.state, half.answer(step.eap), opening)
        result.trusted, result.protected = half.error, half.protected
        result.resumed = bool(SSL._lib.SSL_session_reused(connection._ssl))  # type: ignore[attr-defined]
        if half.done and half.error is None:
            label, context = (
                (b"EXPORTER_EAP_TLS_Key_Material", b"\x0d")
                if self.version == "1.3"
                else (b"client EAP encryption", None)
            )
            result.keys = connection.export_keying_material(label, 128, context)
            self.session = connection.get_session()
            connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        return result


class _Half:
    """The device's side of EAP-TLS."""

    def __init__(self, connection: SSL.Connection, fragment: int) -> None:
        self._tls, self._fragment = connection, fragment
        self._in: list[bytes] = []
        self._out, self._at = b"", 0
        self.done = self.protected = False
        self.error: str | None = None

    def answer(self, request: bytes) -> bytes:
        """The EAP response to an EAP request."""
        identifier, flags = request[1], request[5]
        data = request[10:] if flags & 0x80 else request[6:]
        if flags & 0x20:
            return self._step(identifier, b"")
        if flags & 0x40:
            self._in.append(data)
            return _response(identifier, b"\0")
        if not data and not self._in:
            return self._next(identifier)
        self._in.append(data)
        whole, self._in = b"".join(self._in), []
        return self._step(identifier, whole)

    def _step(self, identifier: int, data: bytes) -> bytes:
        if data:
            self._tls.bio_write(data)
        try:
            if not self.done:
                self._tls.do_handshake()
                self.done = True
            self.protected = self._tls.recv(64) == b"\0" or self.protected
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.error = str(error)
        try:
            self._out, self._at = self._tls.bio_read(1 << 20), 0
        except SSL.WantReadError:
            self._out, self._at = b"", 0
        return self._next(identifier)

    def _next(self, identifier: int) -> bytes:
        part = self._out[self._at : self._at + self._fragment]
        first, whole = self._at == 0, len(part) == len(self._out)
        self._at += len(part)
        if whole:
            return _response(identifier, b"\0" + part)
        more = 0x40 if self._at < len(self._out) else 0
        if first:
            return _response(identifier, bytes((0x80 | more,)) + len(self._out).to_bytes(4, "big") + part)
        return _response(identifier, bytes((more,)) + part)


def _response(identifier: int, data: bytes) -> bytes:
    return bytes((2, identifier)) + (5 + len(data)).to_bytes(2, "big") + b"\x0d" + data
