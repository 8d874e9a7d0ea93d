"""Whether this machine's OpenSSL does what EAP-TLS needs of it, tried with handshakes in memory: some 40 ms.

The wheel of ``cryptography`` decides which OpenSSL this is, and what pyOpenSSL does not publish may change with any
release. A RADIUS server that found out at its first handshake would refuse a campus.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography import x509
from OpenSSL import SSL, crypto

from troth.kit.log import get_logger
from troth.pki.throwaway import throw_away_certificate
from troth.radius.eap import openssl
from troth.radius.eap.contexts import Contexts, NetworkTls
from troth.radius.eap.errors import ENGINE, REVOKED, EngineUnfit
from troth.radius.eap.identity import ServerIdentity, identity_of
from troth.radius.eap.tls import Handshake

log = get_logger("radius")

_NAME = "selftest.invalid"
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


def check() -> None:
    """Raises EngineUnfit, naming what does not work; only the speaking alerts may be missing, which is logged."""
    certificate, key = throw_away_certificate(_NAME)
    identity = identity_of((certificate,), key)
    contexts = Contexts()
    contexts.install(identity, [NetworkTls("selftest", "1", (identity.chain[0],))])
    if not openssl.hooked:
        log.warning("radius.alerts_without_reasons", detail="OpenSSL's verify hook is not to be had")
    for version in _VERSIONS:
        try:
            _try(contexts, identity, version)
        except (SSL.Error, crypto.Error, AttributeError, ValueError, TypeError) as error:
            raise EngineUnfit(ENGINE, f"TLS {version}: {error}") from error


def _try(contexts: Contexts, identity: ServerIdentity, version: str) -> None:
    client = _client(identity, version)
    first, session = _shake(contexts, client, None, None)
    _must(first.finished and first.version == version, version, "no handshake finished")
    _must(first.chain() == identity.chain, version, "the device's certificate is not to be had")
    _must(len(first.keys().msk) == 64, version, "no keys were exported")
    again, _ = _shake(contexts, client, session, None)
    _must(again.finished and again.resumed, version, "a session was not resumed")
    _must(again.chain() == identity.chain, version, "a ticket does not carry the device's certificate")
    if openssl.hooked:
        known = sha256(identity.chain[0]).digest()
        refused, _ = _shake(contexts, client, None, lambda _, leaf: "revoked" if leaf == known else None)
        _must(not refused.finished and refused.reason is REVOKED, version, "a revoked certificate was not refused")


def _must(holds: bool, version: str, what: str) -> None:
    if not holds:
        raise EngineUnfit(ENGINE, f"TLS {version}: {what}")


def _shake(
    contexts: Contexts, client: SSL.Context, session: SSL.Session | None, judge: openssl.LeafJudge | None
) -> tuple[Handshake, SSL.Session | None]:
    network = contexts.current("selftest")
    if network is None:
        raise EngineUnfit(ENGINE, "no context was made")
    ours, theirs = Handshake(contexts.base, network, judge), SSL.Connection(client, None)
    theirs.set_connect_state()
    if session is not None:
        theirs.set_session(session)
    for _ in range(4):
        try:
            theirs.do_handshake()
            theirs.recv(1)  # takes tickets in
        except SSL.WantReadError:
            pass
        try:
            flight = theirs.bio_read(65_536)
        except SSL.WantReadError:
            break
        answer = ours.feed(flight)
        if ours.reason is not None or not answer:
            break
        theirs.bio_write(answer)
    found = theirs.get_session() if ours.finished else None
    theirs.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)  # else OpenSSL marks the session as spoilt
    return ours, found


def _client(identity: ServerIdentity, version: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_VERSIONS[version])
    context.set_max_proto_version(_VERSIONS[version])
    context.use_certificate(x509.load_der_x509_certificate(identity.chain[0]))
    openssl.use_key(context, identity.key)
    return context
