"""Whether this machine's OpenSSL does what EAP-TLS needs of it, tried with handshakes in memory: some 40 ms.

The wheel of ``cryptography`` decides which OpenSSL this is, and what pyOpenSSL does not publish may change with any of its
releases. A RADIUS server that found out at its first handshake would refuse a campus.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from troth.kit.log import get_logger
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
    identity = _throw_away()
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


def _throw_away() -> ServerIdentity:
    """A certificate for both sides, signed by itself, that is gone with this."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    # Around all time: what is tried here is not this machine's clock, which others watch.
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * 80))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(usages, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return identity_of((certificate.public_bytes(Encoding.DER),), private)
