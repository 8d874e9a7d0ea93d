"""TLS contexts: one that all handshakes begin on, and one for each network.

A handshake begins on the *base* and is switched to its network's context at once (``SSL_set_SSL_CTX``). OpenSSL takes
certificate and trust anchors from the network's, and the keys of session tickets from the base. So the base, made
before the workers fork, lets a ticket of one worker resume on every other, and still the networks' anchors and our
certificate change while the process lives: their contexts are simply replaced. A ticket is bound to its network and the
epoch of its policy by the session id context; one of another network or epoch leads to a full handshake.

Tickets, not a session cache: a cache resumes some 15 % cheaper under TLS 1.3 (no certificate to seal into two tickets),
but on the worker that holds it alone, and a roaming device comes to another one as often as not. The keys live as
long as the base; they are never written anywhere. Devices of TLS 1.2 that take no tickets (wpa_supplicant, unless it is
told to) begin on a second base, each worker's own, with a cache of sessions by their id; when it has grown to its
bound, an empty one takes its place.

Trust anchors are taken as such wherever they stand in a chain (X509_V_FLAG_PARTIAL_CHAIN): a network that names an
issuing authority trusts that one and not its siblings, and one signature less is verified (14 % of a handshake).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from OpenSSL import SSL, crypto

from troth.kit.log import get_logger
from troth.radius.eap import openssl
from troth.radius.eap.errors import UNUSABLE_IDENTITY, IdentityUnusable
from troth.radius.eap.identity import ServerIdentity

log = get_logger("radius")

#: Forward secrecy and authenticated encryption alone; TLS 1.3 has nothing else.
CIPHERS_12 = b"ECDHE+AESGCM:ECDHE+CHACHA20"
#: RFC 8446, 4.6.1.
MAX_RESUMPTION_SECONDS = 604_800
#: Handshakes on one cache of sessions, before it is replaced. A session takes some 10 KiB: it has the certificates.
MAX_CACHED = 4_096
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
# Names of anchors are told to devices, so that they find the right one of several certificates, while they are few.
_MAX_TOLD_NAMES = 1024


@dataclass(frozen=True, slots=True)
class NetworkTls:
    """What a network asks of TLS.

    Attributes:
        name: of the network.
        epoch: changes whenever what a session was let in on is no longer to be resumed: anchors, policy.
        anchors: certificates (DER) that end a chain, roots or not, and nothing else.
        versions: of ``1.2`` and ``1.3``.
        resumption_seconds: how long a session may be resumed; 0: never. At most a week.
    """

    name: str
    epoch: str
    anchors: tuple[bytes, ...]
    versions: frozenset[str] = frozenset({"1.2", "1.3"})
    resumption_seconds: int = 14_400


@dataclass(frozen=True, slots=True)
class NetworkContext:
    """A network's context, ready for handshakes.

    Attributes:
        options: OP_* of each of its connections: versions it does not have, and no tickets where nothing is resumed.
        shown: to be told of each connection whose full handshake has finished.
    """

    tls: NetworkTls
    context: SSL.Context
    options: int
    shown: Callable[[SSL.Connection], None]


class Contexts:
    """The contexts of one process. Make it before the workers fork; each replaces what is its own afterwards."""

    def __init__(self) -> None:
        self.base = _base(cached=False)
        self._cached: SSL.Context | None = None
        self._cached_begun = 0
        self._identity: ServerIdentity | None = None
        self._networks: dict[str, NetworkContext] = {}
        #: Fingerprint of a certificate of ours → its status, and until when that is given.
        self._staples: dict[str, tuple[bytes, float]] = {}
        self._staples_given = 0
        #: Full handshakes that were finished, by the kind of our certificate that was shown: ``rsa``, ``ec``.
        self.shown: Counter[str] = Counter()

    @property
    def identity(self) -> ServerIdentity | None:
        """Whom devices are shown."""
        return self._identity

    @property
    def staples_given(self) -> int:
        """How many handshakes asked for our certificate's status and were given it."""
        return self._staples_given

    def current(self, network: str) -> NetworkContext | None:
        """The network's context; None: it has none, or we have no certificate."""
        return self._networks.get(network)

    def base_for(self, network: NetworkContext, *, tickets: bool) -> SSL.Context:
        """What a handshake begins on: with ``tickets`` the base of all workers, else this worker's with a cache."""
        if tickets or network.tls.resumption_seconds <= 0:
            return self.base
        if self._cached is None or self._cached_begun >= MAX_CACHED:
            self._cached, self._cached_begun = _base(cached=True), 0
        self._cached_begun += 1
        return self._cached

    def install(self, identity: ServerIdentity | None, networks: Iterable[NetworkTls]) -> None:
        """Let this be all. Handshakes that have begun go on with what they began with; what has not changed is kept.

        A network none of whose anchors can be read has no context; it is told in the log. Raises IdentityUnusable,
        and then everything stays as it was.
        """
        same = self._identity == identity
        made: dict[str, NetworkContext] = {}
        if identity is not None:
            for one in networks:
                present = self._networks.get(one.name) if same else None
                built = present if present is not None and present.tls == one else self._network(identity, one)
                if built is not None:
                    made[one.name] = built
        if not same:
            shown = {one.fingerprint for one in identity.each} if identity is not None else set()
            self._staples = {of: staple for of, staple in self._staples.items() if of in shown}
        self._identity, self._networks = identity, made

    def staple(self, response: bytes, good_for: float, now: float, *, of: ServerIdentity | None = None) -> None:
        """Give devices that ask this OCSP response, DER, for ``good_for`` seconds from ``now`` (monotonic).

        ``of``: the certificate that it is about; None: the first.
        """
        about = of or self._identity
        if about is not None:
            self._staples[about.fingerprint] = (response, now + good_for)

    def expire_staple(self, now: float) -> bool:
        """Forget responses whose time is over; whether each certificate has one left."""
        self._staples = {of: staple for of, staple in self._staples.items() if now < staple[1]}
        return self._identity is not None and all(one.fingerprint in self._staples for one in self._identity.each)

    def _stapled(self, connection: SSL.Connection, data: object) -> bytes:
        """Called by OpenSSL when a device has asked (RFC 6066, 8); empty: no staple."""
        identity = self._identity
        if identity is None:
            return b""
        if identity.second is not None:
            identity = openssl.shown_of(connection, identity.each)
        response, _ = self._staples.get(identity.fingerprint, (b"", 0.0))
        self._staples_given += bool(response)
        return response

    def _network(self, identity: ServerIdentity, tls: NetworkTls) -> NetworkContext | None:
        anchors = _readable(tls)
        if not anchors:
            log.warning("radius.network_without_anchors", network=tls.name)
            return None
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_cipher_list(CIPHERS_12)
        _use(context, identity)
        store = context.get_cert_store()
        if store is None:  # pragma: no cover - a context has one from birth
            raise IdentityUnusable(UNUSABLE_IDENTITY, "OpenSSL gave a context without a store of anchors")
        for anchor in anchors:
            store.add_cert(crypto.X509.from_cryptography(anchor))
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
        if sum(len(one.subject.public_bytes()) for one in anchors) <= _MAX_TOLD_NAMES:
            for anchor in anchors:
                context.add_client_ca(anchor)
        context.set_ocsp_server_callback(self._stapled)
        context.set_session_id(_session_context(tls))
        openssl.require_certificate(context)
        options = 0
        if "1.2" not in tls.versions:
            options |= SSL.OP_NO_TLSv1_2
        if "1.3" not in tls.versions:
            options |= SSL.OP_NO_TLSv1_3
        if tls.resumption_seconds <= 0:
            options |= SSL.OP_NO_TICKET
        return NetworkContext(tls, context, options, self._counting(identity))

    def _counting(self, identity: ServerIdentity) -> Callable[[SSL.Connection], None]:
        """Counts who was shown which of the two certificates. Of one alone the connection need not be asked."""
        counts, kinds = self.shown, {one.chain[0]: one.kind for one in identity.each}

        def count(connection: SSL.Connection) -> None:
            one = identity if identity.second is None else openssl.shown_of(connection, identity.each)
            counts[kinds[one.chain[0]]] += 1

        return count


def _base(*, cached: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(_OPTIONS)
    context.set_cipher_list(CIPHERS_12)
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER if cached else SSL.SESS_CACHE_OFF)
    # A connection takes the network's session id context over only if it still has the base's.
    context.set_session_id(b"troth")
    context.set_timeout(MAX_RESUMPTION_SECONDS)
    openssl.release_buffers(context)
    openssl.require_certificate(context)
    return context


def _use(context: SSL.Context, identity: ServerIdentity) -> None:
    """Show ``identity``, and its second to those who offer no signature that the first could make.

    Of two, OpenSSL takes the first in its own order (that is what OP_CIPHER_SERVER_PREFERENCE says of signatures, too)
    that the ClientHello's signature algorithms, and under TLS 1.2 its suites, allow: ECDSA before RSA. Each has a chain
    of its own then; what is added as an extra chain would be sent with both.
    """
    if identity.second is not None:
        try:
            for each in identity.each:
                openssl.use_chain(context, each.chain)
                openssl.use_key(context, each.key)
                context.check_privatekey()
        except (ValueError, TypeError, OSError, SSL.Error) as error:
            raise IdentityUnusable(UNUSABLE_IDENTITY, "OpenSSL does not take both certificates together") from error
        return
    try:
        leaf, *above = (x509.load_der_x509_certificate(one) for one in identity.chain)
        context.use_certificate(leaf)
        for one in above:
            context.add_extra_chain_cert(one)
        openssl.use_key(context, identity.key)
        context.check_privatekey()
    except (ValueError, TypeError, SSL.Error) as error:
        raise IdentityUnusable(UNUSABLE_IDENTITY, "OpenSSL does not take certificate and key together") from error


def _readable(tls: NetworkTls) -> list[x509.Certificate]:
    found = []
    for one in tls.anchors:
        try:
            found.append(x509.load_der_x509_certificate(one))
        except ValueError:
            log.warning("radius.anchor_unreadable", network=tls.name, sha256=sha256(one).hexdigest())
    return found


def _session_context(tls: NetworkTls) -> bytes:
    """At most 32 octets (SSL_MAX_SID_CTX_LENGTH)."""
    return sha256(f"{len(tls.name)} {tls.name} {tls.epoch}".encode()).digest()
