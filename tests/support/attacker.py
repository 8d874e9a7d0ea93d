"""A web process in other hands: it has a role's secret, speaks the signer's protocol by itself, and wants too much.

Run as ``python -m tests.support.attacker``, it reads an :class:`Assault` from standard input, gives up root for a uid
of its own, tries every attack on the socket, and writes what came of each as JSON. It uses nothing of the client that
Troth's processes use: what that would never send is the point.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.signing import authority_certificate, crl_tbs, leaf_tbs, spki_of, usage
from troth.kit.canonical import canonical_json
from troth.kit.ids import new_id
from troth.pki import der
from troth.pki.keys.model import KeyPurpose
from troth.pki.signer import handshake, protocol
from troth.pki.signer.class_rules import EAP_OVER_LAN, REGISTRATION_AUTHORITY

MY_KEY = spki_of(ec.generate_private_key(ec.SECP256R1()))
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
#: What an attack came to when it was not refused.
SIGNED = "SIGNED"


class Target(msgspec.Struct, frozen=True):
    """A key of the signer."""

    key_id: str
    spki: bytes


class Assault(msgspec.Struct, frozen=True):
    """What the attacker has found.

    Attributes:
        uid: which it runs under.
        role: whose secret it has.
        keys: by name: ``open``, ``people``, ``radius``, ``infrastructure``, ``constrained``, and those made by the
            signer for other purposes.
    """

    socket: str
    uid: int
    role: str
    secret: bytes
    keys: dict[str, Target]


class Wire:
    """One connection, by hand."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(path)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def shut(self) -> None:
        """Say that nothing more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def body(self) -> bytes | None:
        """The next frame's content; None when the signer has ended the connection."""
        try:
            header = self._exactly(4)
            return None if header is None else self._exactly(int.from_bytes(header, "big"))
        except ConnectionError:
            return None

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                return None
            data += part
        return data

    def close(self) -> None:
        self._socket.close()


def entered(assault: Assault, role: str | None = None, secret: bytes | None = None) -> Wire | None:
    """A connection whose role is proved, or None when the signer did not believe it."""
    wire, role = Wire(assault.socket), assault.role if role is None else role
    body = wire.body()
    if body is None:
        return None
    hello = protocol.decode_greeting(body)
    assert isinstance(hello, protocol.Hello)
    nonce = handshake.new_nonce()
    mac = handshake.client_proof(assault.secret if secret is None else secret, role, hello.nonce, nonce)
    wire.send(protocol.frame(protocol.Prove(role, nonce, mac)))
    body = wire.body()
    return wire if body is not None and isinstance(protocol.decode_greeting(body), protocol.Welcome) else None


def asked(wire: Wire, request: protocol.Request) -> str:
    """The code that ``request`` is refused with, or what was got."""
    wire.send(protocol.frame(request))
    body = wire.body()
    if body is None:
        return "closed"
    answer = protocol.decode_answer(body)
    return answer.code if isinstance(answer, protocol.Failure) else SIGNED


def attacks(assault: Assault) -> dict[str, Callable[[], str]]:
    """Every attack by its name; each says what it was refused with."""
    now, keys = datetime.now(UTC), assault.keys
    found: dict[str, Callable[[], str]] = {}
    wire = entered(assault)
    assert wire is not None, "the secret is good"

    def ask(name: str, request: protocol.Request) -> None:
        found[name] = lambda: asked(wire, request)

    def leaf(name: str, on: str = "open", **changes: Any) -> None:
        tbs = leaf_tbs(keys[on].spki, now, **{"spki": MY_KEY, **changes})
        ask(name, protocol.Certify(1, keys[on].key_id, tbs, new_id()))

    def raw(name: str, tbs: bytes, on: str = "open", reservation: UUID | None = None) -> None:
        ask(name, protocol.Certify(1, keys[on].key_id, tbs, reservation or new_id()))

    # --- certificates that would be worth having
    ca: dict[str, Any] = {
        "constraints": x509.BasicConstraints(True, None),
        "key_usage": usage(sign_certificates=True, sign_crls=True),
    }
    leaf("a CA", **ca)
    leaf("a CA without CA key usage", constraints=x509.BasicConstraints(True, 0))
    leaf("keyCertSign without CA", key_usage=usage(sign_certificates=True))
    leaf("cRLSign", key_usage=usage(sign_crls=True))
    leaf("no key usage", key_usage=None)
    for on in ("people", "infrastructure", "radius", "constrained"):
        leaf(f"a CA under {on}", on=on, **ca)
    leaf("another issuer", issuer=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root CA")]))
    leaf("another authority key", authority=x509.AuthorityKeyIdentifier(b"x" * 20, None, None))
    leaf("no authority key", authority=None)
    leaf("longer than allowed", lasts=timedelta(days=399))
    leaf("backdated", begins=timedelta(days=-2))
    leaf("of the future", begins=timedelta(hours=1))
    leaf("outliving its authority", on="constrained", lasts=timedelta(days=60))
    leaf("code signing", usages=[ExtendedKeyUsageOID.CODE_SIGNING])
    leaf("mail", usages=[ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf("smart-card log-on", usages=[CLIENT, ExtendedKeyUsageOID.SMARTCARD_LOGON])
    leaf("any usage", usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    leaf("no extended key usage", usages=None)
    leaf("a server from the people's key", on="people", usages=[SERVER])
    for on in ("open", "infrastructure", "radius"):
        leaf(f"an OCSP responder of its own under {on}", on=on, usages=[ExtendedKeyUsageOID.OCSP_SIGNING])
    leaf("nocheck", extra=[(x509.OCSPNoCheck(), False)])
    # --- names of others
    for label, name in (
        ("the RADIUS server", "radius.corp.example"),
        ("below the RADIUS server", "x.Radius.corp.example"),
        ("a wildcard over the RADIUS server", "*.corp.example"),
    ):
        leaf(label, names=[x509.DNSName(name)])
        leaf(f"{label} under infrastructure", on="infrastructure", names=[x509.DNSName(name)])
    leaf(
        "the RADIUS server in the common name",
        subject=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "radius.corp.example")]),
    )
    leaf("a RADIUS server for its own key", on="radius", names=[x509.DNSName("radius.corp.example")])
    leaf("any server under radius for its own key", on="radius")
    leaf("EAP over LAN", usages=[SERVER, x509.ObjectIdentifier(EAP_OVER_LAN)])
    upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), der.tlv(der.UTF8_STRING, b"admin@corp"))
    sid = x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")
    security = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"), b"\x30\x00")
    leaf("a user principal name", usages=[CLIENT], names=[upn])
    leaf("a security identifier", usages=[CLIENT], names=[sid])
    leaf("a security identifier's extension", usages=[CLIENT], extra=[(security, False)])
    leaf("outside of the name constraints", on="constrained", names=[x509.DNSName("evil.example")])
    leaf("a wildcard outside of them", on="constrained", names=[x509.DNSName("*.example")])
    leaf("an excluded name", on="constrained", names=[x509.DNSName("vault.leaf.example")])
    leaf(
        "a registration authority of its own",
        on="infrastructure",
        usages=[x509.ObjectIdentifier(REGISTRATION_AUTHORITY)],
    )
    for made in ("ocsp", "radius-key", "ra", "jwt", "open"):
        leaf(f"a server for the signer's {made} key", spki=keys[made].spki)
    # --- bytes with two readings
    odd = x509.ObjectIdentifier("1.2.3.4")
    leaf("a critical unknown extension", extra=[(x509.UnrecognizedExtension(odd, b"\x05\x00"), True)])
    policies = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.21.10"), b"\x30\x00")
    leaf("application policies", extra=[(policies, False)])
    leaf("name constraints in a leaf", extra=[(x509.NameConstraints([x509.DNSName("a")], None), True)])
    good = leaf_tbs(keys["open"].spki, now, spki=MY_KEY)
    for label, content in (
        ("a short serial", b"\x01"),
        ("a negative serial", b"\xff" + b"\x01" * 15),
        ("the serial zero", b"\x00"),
        ("an endless serial", b"\x01" * 21),
    ):
        raw(label, _with_serial(good, content))
    raw("trailing bytes", good + b"\x00")
    raw("cut short", good[:-10])
    raw("nothing", b"")
    raw("a CRL as a certificate", crl_tbs(keys["open"].spki, now))
    raw("deep nesting", b"\x30\x84\x7f\xff\xff\xff" * 1000)
    # --- reservations
    raw("a reservation of yesterday", good, reservation=_at(now - timedelta(days=1)))
    raw("a reservation of tomorrow", good, reservation=_at(now + timedelta(days=1)))
    raw("a random reservation", good, reservation=UUID(int=1 << 100))
    # --- keys that sign no certificates
    for made in ("ocsp", "radius-key", "ra", "jwt", "notary", "unattached"):
        raw(f"with the {made} key", leaf_tbs(keys[made].spki, now, spki=MY_KEY), on=made)
    ask("with no key", protocol.Certify(1, "../../secrets/web.secret", good, new_id()))
    # --- tokens that would be worth having
    sub, at = "spiffe://corp.example/default/shop", int(now.timestamp())

    def token(name: str, on: str = "jwt", **changes: Any) -> None:
        said = {"aud": ["db"], "exp": at + 300, "iat": at, "jti": "a", "sub": sub, **changes}
        ask(name, protocol.SignJwt(1, keys[on].key_id, canonical_json(said)))

    token("a token of days", exp=at + 86_400)
    token("a token of next week", iat=at + 600_000, exp=at + 600_300)
    token("a token for nobody", aud=[])
    token("a token of a person", sub="alice@corp.example")
    token("a token with an issuer", iss="https://login.example")
    for made in ("open", "ocsp", "radius-key", "ra", "notary", "unattached"):
        token(f"a token with the {made} key", on=made)
    ask("a certificate as a token", protocol.SignJwt(1, keys["jwt"].key_id, good))
    # --- what is for other roles
    ask("a CRL", protocol.SignCrl(1, keys["open"].key_id, crl_tbs(keys["open"].spki, now)))
    ask("a checkpoint", protocol.Checkpoint(1, 0, [bytes(32)], now))
    for purpose in KeyPurpose:
        ask(f"a new {purpose} key", protocol.GenerateKey(1, purpose))
    for made in ("ocsp", "radius-key", "ra", "jwt", "open", "notary"):
        ask(f"the private {made} key", protocol.ReleaseKey(1, keys[made].key_id, bytes(range(32))))
    mine = authority_certificate(keys["unattached"].spki, now)
    bounds = protocol.Bounds(allow_ca=True)
    ask("an authority of its own", protocol.AttachAuthority(1, keys["unattached"].key_id, mine, bounds))
    return found


def frames(assault: Assault) -> dict[str, str]:
    """Attacks below the protocol: what the signer did about each."""
    request = protocol.frame(protocol.SignCrl(1, assault.keys["open"].key_id, b"x"))
    results = {}

    def after_proof(name: str, data: bytes) -> None:
        wire = entered(assault)
        assert wire is not None
        wire.send(data)
        wire.shut()
        body = wire.body()
        results[name] = "closed" if body is None else _told(body)
        wire.close()

    def before_proof(name: str, data: bytes) -> None:
        wire = Wire(assault.socket)
        wire.body()
        try:
            wire.send(data)
            wire.shut()
        except OSError:
            pass
        body = wire.body()
        results[name] = "closed" if body is None else _told(body)
        wire.close()

    after_proof("a truncated frame", request[:-1])
    after_proof("a huge frame announced", (1 << 31).to_bytes(4, "big") + b"x")
    after_proof("a frame above the role's limit", (300 * 1024).to_bytes(4, "big"))
    after_proof("no msgpack", b"\x00\x00\x00\x02\xc1\xc1")
    after_proof("an unknown operation", _frame({"op": "sign_anything", "n": 1}))
    after_proof("an unknown field", _frame({"op": "list_keys", "n": 1, "all": True}))
    after_proof("a wrong type", _frame({"op": "certify", "n": "1", "key_id": 5}))
    after_proof("an empty frame", bytes(4))
    before_proof("a request before the proof", request)
    before_proof("a flood before the proof", (1 << 20).to_bytes(4, "big") + b"x" * 4096)
    for role in ("worker", "setup", "status", "radius", "root", ""):
        if role != assault.role:
            results[f"the role {role!r} with another's secret"] = _believed(entered(assault, role))
    for label, secret in (("no", b""), ("a zero", bytes(32))):
        results[f"{label} secret"] = _believed(entered(assault, secret=secret))
    results["a replayed handshake"] = _replayed(assault)
    return results


def _believed(wire: Wire | None) -> str:
    return "closed" if wire is None else SIGNED


def _replayed(assault: Assault) -> str:
    """Send on a second connection what proved the role on the first."""
    first, second = Wire(assault.socket), Wire(assault.socket)
    hellos = [protocol.decode_greeting(wire.body() or b"") for wire in (first, second)]
    assert isinstance(hellos[0], protocol.Hello)
    nonce = handshake.new_nonce()
    mac = handshake.client_proof(assault.secret, assault.role, hellos[0].nonce, nonce)
    proof = protocol.frame(protocol.Prove(assault.role, nonce, mac))
    first.send(proof)
    assert first.body() is not None
    second.send(proof)
    return _told(second.body() or b"")


def _told(body: bytes) -> str:
    answer = protocol.decode_greeting(body)
    return answer.code if isinstance(answer, protocol.Failure) else SIGNED


def _frame(message: object) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


def _at(moment: datetime) -> UUID:
    """A UUIDv7 of ``moment``."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | 12345)


def _with_serial(tbs: bytes, content: bytes) -> bytes:
    reader = der.Reader(tbs).enter(der.SEQUENCE)
    version = reader.whole()
    reader.whole()
    rest = b""
    while not reader.empty:
        rest += reader.whole()
    return der.sequence(version, der.tlv(der.INTEGER, content), rest)


def main() -> int:
    """See the module."""
    assault = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Assault)
    # Python loads some of its modules late, and the new uid may not be able to read them.
    for make in (leaf_tbs, crl_tbs, authority_certificate):
        make(MY_KEY, datetime.now(UTC))
    os.setgroups([])
    os.setgid(assault.uid)
    os.setuid(assault.uid)
    results: dict[str, str] = {}
    if assault.role:
        tries = attacks(assault)
        results = {name: attack() for name, attack in tries.items()} | frames(assault)
        results |= _twice(assault)
    else:
        wire = entered(assault, "web")
        results["a stranger's uid"] = _believed(wire)
    sys.stdout.buffer.write(msgspec.json.encode(results))
    return 0


def _twice(assault: Assault) -> dict[str, str]:
    """One good certificate, and then the same reservation and the same serial number once more."""
    wire = entered(assault)
    assert wire is not None
    key, now = assault.keys["open"], datetime.now(UTC)
    tbs, reservation = leaf_tbs(key.spki, now, spki=MY_KEY), new_id()
    first = asked(wire, protocol.Certify(1, key.key_id, tbs, reservation))
    other = leaf_tbs(key.spki, now, spki=MY_KEY)
    return {
        "a good certificate": first,
        "the reservation once more": asked(wire, protocol.Certify(2, key.key_id, other, reservation)),
        "the serial number once more": asked(wire, protocol.Certify(3, key.key_id, tbs, new_id())),
    }


if __name__ == "__main__":
    sys.exit(main())
