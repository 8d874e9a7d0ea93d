"""One TLS handshake as a server, from memory to memory, and the keys that come out of it."""

from __future__ import annotations

import re
from hashlib import sha256

import msgspec
from OpenSSL import SSL

from troth.kit.errors import Reason
from troth.radius.eap import openssl
from troth.radius.eap.contexts import NetworkContext
from troth.radius.eap.errors import (
    BAD_PROOF,
    BAD_TLS,
    NO_PEER_CERTIFICATE,
    NOTHING_IN_COMMON,
    PEER_ALERT,
)

# RFC 5216, 2.3; RFC 9190, 2.3. 128 octets must be asked for at once: an exporter's output depends on its length.
_LABEL_12 = b"client EAP encryption"
_LABEL_13 = b"EXPORTER_EAP_TLS_Key_Material"
_LABEL_ID = b"EXPORTER_EAP_TLS_Method-Id"
_TYPE = b"\x0d"
#: access_denied as a fatal alert in a record that is not encrypted yet (RFC 5246, 7.2.2).
_ACCESS_DENIED = b"\x15\x03\x03\x00\x02\x02\x31"
_PROTECTED_SUCCESS = b"\0"
_ALERT = re.compile(r"alert (.+)$")
_COMMON = (
    "no shared cipher", "unsupported protocol", "no suitable signature algorithm", "no shared signature algorithms",
    "no suitable key share", "wrong version number", "no suitable groups", "unsupported signature",
    "inappropriate fallback",
    "version too low", "no protocols available", "no shared groups",
)  # fmt: skip
_PROOF = ("bad signature", "digest check failed", "wrong signature", "bad psk", "binder does not verify")


class Keys(msgspec.Struct, frozen=True):
    """What both sides know now: 64 octets each."""

    msk: bytes
    emsk: bytes


class Handshake:
    """The server's side of one handshake.

    Attributes:
        finished: the device's Finished has been verified.
        is_13: and TLS 1.3 was negotiated.
        reason, detail: why the handshake is over without that; None and "" while it is not.
        leaf, leaf_sha256: the device's certificate (DER) once OpenSSL has seen it.
        known: what the trust table had against the leaf; "" for nothing.
        verify_error: X509_V_ERR_* of the chain, 0 when there is none; ``verify_depth``: of which certificate.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_shown",
        "detail",
        "finished",
        "is_13",
        "judge",
        "known",
        "leaf",
        "leaf_sha256",
        "network",
        "reason",
        "verify_depth",
        "verify_error",
    )  # fmt: skip

    def __init__(self, base: SSL.Context, network: NetworkContext, judge: openssl.LeafJudge | None) -> None:
        connection = SSL.Connection(base, None)
        connection.set_accept_state()
        connection.set_context(network.context)
        if network.options:
            connection.set_options(network.options)
        # Read when the session is made, in the first step; nothing else runs on this context until then.
        openssl.set_session_seconds(base, max(network.tls.resumption_seconds, 1))
        self._connection = connection
        self.network = network.tls.name
        self._shown = network.shown
        self.judge = judge
        self.leaf: bytes | None = None
        self.leaf_sha256 = b""
        self.known = ""
        self.verify_error = self.verify_depth = 0
        self.finished = self.is_13 = False
        self.reason: Reason | None = None
        self.detail = ""
        openssl.watch(connection, self)

    def feed(self, data: bytes) -> bytes:
        """Take a whole TLS flight in and give the next one out; empty where there is none.

        Afterwards ``finished`` or ``reason`` may be set; with ``reason`` the octets are the fatal alert.
        """
        connection = self._connection
        try:
            if openssl.advance(connection, data):
                self.finished = True
                self.is_13 = connection.get_protocol_version() == SSL.TLS1_3_VERSION
                if not self.resumed:
                    self._shown(connection)
        except SSL.Error as error:
            self._failed(error)
        return openssl.said(connection)

    def after(self, data: bytes) -> None:
        """Take in what came after the handshake: a fatal alert sets ``reason``; application data is not read."""
        try:
            self._connection.bio_write(data)
            self._connection.recv(256)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.reason, self.detail = PEER_ALERT, "close_notify"
        except SSL.Error as error:
            self._failed(error)

    def protect_success(self) -> bytes:
        """TLS 1.3: one octet 0x00 as application data (RFC 9190, 2.1.1): we commit ourselves to saying nothing else."""
        self._connection.send(_PROTECTED_SUCCESS)
        return openssl.said(self._connection)

    def keep_session(self) -> None:
        """Let the session be resumed although the connection ends without a close_notify.

        OpenSSL takes a session out of its cache when a connection is dropped that was not shut down, and this is how a
        session of somebody who was not let in is taken out: by not calling this.
        """
        if self.known != "no_ticket":
            self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    def denial(self) -> bytes:
        """The alert access_denied if it can still be told, else nothing.

        It can in a full handshake of TLS 1.2, where our flight has not left and nothing of ours is encrypted yet. Under
        TLS 1.3 OpenSSL has no way to send a chosen alert, and its session tickets are already numbered into the
        stream that such an alert would stand in; they do not leave either.
        """
        return _ACCESS_DENIED if self.finished and not self.is_13 and not self.resumed else b""

    @property
    def version(self) -> str:
        """``1.2`` or ``1.3``."""
        return "1.3" if self.is_13 else "1.2"

    @property
    def resumed(self) -> bool:
        """Whether a session was resumed; the device's certificate was not shown again."""
        return openssl.was_resumed(self._connection)

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return self._connection.get_cipher_name() or ""

    @property
    def group(self) -> str:
        """The key exchange group; empty where there was none (TLS 1.2 resumed)."""
        return self._connection.get_group_name() or ""

    @property
    def server_name(self) -> str:
        """What the device put into server_name; mostly nothing."""
        name = self._connection.get_servername()
        return name.decode("ascii", "replace")[:255] if name else ""

    def chain(self) -> tuple[bytes, ...]:
        """What the device showed, DER, leaf first; of a resumed session the leaf alone."""
        leaf = self.leaf or openssl.leaf_of(self._connection)
        return () if leaf is None else (leaf, *[one for one in openssl.others_of(self._connection) if one != leaf])

    def leaf_digest(self, chain: tuple[bytes, ...]) -> bytes:
        """SHA-256 of the leaf of ``chain``; empty without one."""
        return self.leaf_sha256 or (sha256(chain[0]).digest() if chain else b"")

    def keys(self) -> Keys:
        """MSK and EMSK (RFC 5216, 2.3; RFC 9190, 2.3)."""
        label, context = (_LABEL_13, _TYPE) if self.is_13 else (_LABEL_12, None)
        material = self._connection.export_keying_material(label, 128, context)
        return Keys(material[:64], material[64:])

    def session_id(self) -> bytes:
        """The EAP Session-Id: 0x0D and the Method-Id (RFC 5216, 2.3; RFC 9190, 2.3)."""
        connection = self._connection
        if self.is_13:
            return _TYPE + connection.export_keying_material(_LABEL_ID, 64, _TYPE)
        return _TYPE + (connection.client_random() or b"") + (connection.server_random() or b"")

    def _failed(self, error: SSL.Error) -> None:
        words = " ".join(str(one[2]) for one in error.args[0]) if error.args and isinstance(error.args[0], list) else ""
        alert = _ALERT.search(words)
        if self.verify_error:
            self.reason = openssl.verify_reason(self.verify_error)
            depth = self.verify_depth
            where = f"certificate {depth} above the device's" if depth else "the device's certificate"
            words = (
                f"{self.known}, as the trust table has it" if self.known else openssl.verify_words(self.verify_error)
            )
            self.detail = f"{where}: {words}"
        elif alert is not None:
            self.reason, self.detail = PEER_ALERT, alert[1].replace(" ", "_")
        else:
            self.reason = _reason_of(words)
            self.detail = words or "the connection was not sound"


def _reason_of(words: str) -> Reason:
    if "did not return a certificate" in words:
        return NO_PEER_CERTIFICATE
    if any(one in words for one in _COMMON):
        return NOTHING_IN_COMMON
    return BAD_PROOF if any(one in words for one in _PROOF) else BAD_TLS
