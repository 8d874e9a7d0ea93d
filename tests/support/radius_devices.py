"""A device's side of EAP-TLS, in memory: what a supplicant does, and what it must insist on.

Every conversation that ends well has been checked for what a server that cuts corners would get wrong: the commitment
of TLS 1.3 before Success (RFC 9190, 2.1.1), Success itself, and the keys: what the access server was given is what the
device's own TLS exports (RFC 5216, 2.3; RFC 2548, 2.4).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from OpenSSL import SSL

Version = Literal["1.2", "1.3"]

#: What pyOpenSSL does not publish: the groups that are offered, and whether a session was resumed.
_lib: Any = vars(SSL)["_lib"]
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_LABEL_12, _LABEL_13 = b"client EAP encryption", b"EXPORTER_EAP_TLS_Key_Material"
_START, _MORE, _LENGTH = 0x20, 0x40, 0x80
_RESPONSE, _SUCCESS, _TLS = 2, 3, 13


class Cheated(Exception):
    """The server did something that a device must not accept."""


@dataclass(frozen=True)
class Credential:
    """What a device has: paths of PEM files, and the identity that it gives (proved by nothing)."""

    chain: Path
    key: Path
    identity: bytes = b"@corp.test"


def client_context(
    credential: Credential, root: Path, version: Version, *, tickets: bool = True, groups: str = "X25519:P-256"
) -> SSL.Context:
    """A TLS client with ``credential``. ``tickets``: False has TLS 1.2 resume by session id, as wpa_supplicant does."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_VERSIONS[version])
    context.set_max_proto_version(_VERSIONS[version])
    context.load_verify_locations(str(root))
    context.set_verify(SSL.VERIFY_PEER, None)
    context.use_certificate_chain_file(str(credential.chain))
    context.use_privatekey_file(str(credential.key))
    if not tickets:
        context.set_options(SSL.OP_NO_TICKET)
    if groups:
        _lib.SSL_CTX_set1_curves_list(context._context, groups.encode())
    return context


class Supplicant:
    """One EAP-TLS conversation of a device. Feed it EAP requests; it says what to answer.

    Args:
        fragment: octets of TLS in one answer at most.
        session: of an earlier conversation, to be resumed.
    """

    def __init__(self, context: SSL.Context, identity: bytes, *, fragment: int = 1398, session: Any = None) -> None:
        self._identity = identity
        self._fragment = fragment
        self._connection = connection = SSL.Connection(context, None)
        connection.set_connect_state()
        if session is not None:
            connection.set_session(session)
        self._handshaken = False
        self._committed = False
        self._incoming: list[bytes] = []
        self._outgoing = b""
        self._whole = 0
        #: What TLS complained of.
        self.trouble = ""

    def begin(self) -> bytes:
        """The first EAP packet: who it is."""
        return _response(1, 1, self._identity)

    def answer(self, request: bytes) -> bytes:
        """What to say to an EAP request. Raises Cheated."""
        if len(request) < 5 or request[0] != 1 or struct.unpack_from("!H", request, 2)[0] != len(request):
            raise Cheated(f"no EAP request: {request[:8].hex()}")
        identifier, kind = request[1], request[4]
        if kind == 1:
            return _response(identifier, 1, self._identity)
        if kind != _TLS or len(request) < 6:
            raise Cheated(f"EAP method {kind} in place of EAP-TLS")
        flags = request[5]
        data = request[10:] if flags & _LENGTH else request[6:]
        if flags & _START:
            self._step(b"")
        elif flags & _MORE:
            self._incoming.append(data)
            return _response(identifier, _TLS, b"\0")
        elif data or self._incoming:
            data = b"".join((*self._incoming, data))
            self._incoming = []
            self._step(data)
        return self._next(identifier)

    def finish(self, eap: bytes, recv_key: bytes, send_key: bytes) -> None:
        """An Access-Accept came with these. Raises Cheated unless all is as it must be."""
        if len(eap) != 4 or eap[0] != _SUCCESS:
            raise Cheated("an Accept without EAP-Success")
        if not self._handshaken:
            raise Cheated("Success before the handshake's end")
        connection = self._connection
        if self.version == "TLSv1.3":
            if not self._committed:
                raise Cheated("Success without TLS 1.3's commitment")
            msk = connection.export_keying_material(_LABEL_13, 128, b"\x0d")[:64]
        else:
            msk = connection.export_keying_material(_LABEL_12, 128)[:64]
        if (recv_key, send_key) != (msk[:32], msk[32:64]):
            raise Cheated("the access server was given other keys than the device has")

    @property
    def version(self) -> str:
        """``TLSv1.3``."""
        return str(self._connection.get_protocol_version_name())

    @property
    def resumed(self) -> bool:
        """Whether an earlier session was taken up."""
        return bool(_lib.SSL_session_reused(self._connection._ssl))

    def session(self) -> Any:
        """To be resumed later. The conversation has ended then."""
        session = self._connection.get_session()
        # Otherwise OpenSSL takes the connection for broken off, and its session for not to be resumed.
        self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        return session

    def _step(self, data: bytes) -> None:
        connection = self._connection
        if data:
            connection.bio_write(data)
        try:
            if not self._handshaken:
                connection.do_handshake()
                self._handshaken = True
            if connection.recv(64) == b"\0":
                self._committed = True
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass
        except SSL.Error as error:
            self.trouble = str(error)
        try:
            self._outgoing = connection.bio_read(65_536)
        except SSL.WantReadError:
            self._outgoing = b""
        self._whole = len(self._outgoing)

    def _next(self, identifier: int) -> bytes:
        part, rest = self._outgoing[: self._fragment], self._outgoing[self._fragment :]
        first = len(self._outgoing) == self._whole
        self._outgoing = rest
        if not rest:
            return _response(identifier, _TLS, b"\0" + part)
        if first:
            return _response(identifier, _TLS, struct.pack("!BI", _LENGTH | _MORE, self._whole) + part)
        return _response(identifier, _TLS, bytes((_MORE,)) + part)


def _response(identifier: int, kind: int, data: bytes) -> bytes:
    return struct.pack("!BBHB", _RESPONSE, identifier, 5 + len(data), kind) + data


def revealed(hidden: bytes, secret: bytes, request_authenticator: bytes) -> bytes:
    """The key in an MS-MPPE-Send-Key or -Recv-Key (RFC 2548, 2.4.2)."""
    last, plain = request_authenticator + hidden[:2], b""
    for at in range(2, len(hidden), 16):
        mask = hashlib.md5(secret + last, usedforsecurity=False).digest()
        last = hidden[at : at + 16]
        plain += bytes(one ^ other for one, other in zip(last, mask, strict=True))
    return plain[1 : 1 + plain[0]]
