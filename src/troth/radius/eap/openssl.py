"""The one place that touches what pyOpenSSL does not publish (``SSL._lib``), each use with its reason.

pyOpenSSL's own verify callback wraps every certificate of the chain in objects (7 % of a handshake) and turns a refusal
into the alert internal_error. The one here is called by OpenSSL directly, looks at the leaf alone, and sets the error
from which OpenSSL itself chooses the alert (``ssl_x509err2alert``): certificate_revoked, certificate_expired,
certificate_unknown. ``selftest`` tries at start-up, by handshakes in memory, that it does what is written here.

Where a future binding lacks the hook, ``hooked`` is false: handshakes go on with OpenSSL's own checks, and what only
the trust table knows is refused after them, by the decision, without a speaking alert.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Protocol, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from troth.kit.errors import Reason
from troth.radius.eap.errors import (
    BAD_CHAIN,
    EXPIRED,
    NOT_YET_VALID,
    REFUSED_LEAF,
    REVOKED,
    UNKNOWN_CA,
    WRONG_PURPOSE,
)
from troth.radius.eap.identity import ServerIdentity

_lib: Any = SSL._lib  # type: ignore[attr-defined]  # not published, hence this module
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]  # likewise

#: What a table may know of a leaf: ``revoked``, ``expired``, ``refused``; ``no_ticket`` lets it pass, and withholds the
#: tickets of TLS 1.3 from it.
LeafJudge: TypeAlias = Callable[[str, bytes], "str | None"]


def _code(name: str, value: int) -> int:
    """An X509_V_ERR_*: by name where the binding has it, else by its number, which OpenSSL never changes."""
    return int(getattr(_lib, f"X509_V_ERR_{name}", value))


_V_OK, _V_REVOKED, _V_EXPIRED = 0, _code("CERT_REVOKED", 23), _code("CERT_HAS_EXPIRED", 10)
# The table from errors to alerts does not have this one, so it becomes certificate_unknown: "some other issue …
# rendering it unacceptable" (RFC 8446, 6.2). access_denied, which would say it best, cannot be reached from here.
_V_REFUSED = _code("NO_EXPLICIT_POLICY", 43)
_KNOWN_BAD = {"revoked": _V_REVOKED, "expired": _V_EXPIRED, "refused": _V_REFUSED}

_NO_ANCHOR = frozenset({2, 18, 19, 20, 21, 27, 24, 22})
_REASONS: dict[int, Reason] = {
    _V_REVOKED: REVOKED,
    _V_EXPIRED: EXPIRED,
    _V_REFUSED: REFUSED_LEAF,
    _code("CERT_NOT_YET_VALID", 9): NOT_YET_VALID,
    _code("INVALID_PURPOSE", 26): WRONG_PURPOSE,
    **dict.fromkeys(_NO_ANCHOR, UNKNOWN_CA),
}


class Watched(Protocol):
    """A handshake as the verify hook sees it."""

    network: str
    judge: LeafJudge | None
    leaf: bytes | None
    leaf_sha256: bytes
    known: str
    verify_error: int
    verify_depth: int


def _handshake_of(ssl: Any) -> Any:
    """What watches the connection of an ``SSL *``, found as pyOpenSSL's own callbacks find it; None: nobody."""
    connection = SSL.Connection._reverse_mapping.get(ssl)
    watching = connection.get_app_data() if connection is not None else None
    return watching() if watching is not None else None


def _verify(ok: int, store_ctx: Any) -> int:
    """Called by OpenSSL for each certificate from the anchor down to the leaf, and for each error."""
    depth = _lib.X509_STORE_CTX_get_error_depth(store_ctx)
    if ok and depth:
        return 1
    ssl = _lib.X509_STORE_CTX_get_ex_data(store_ctx, _EX_INDEX)
    handshake = _handshake_of(ssl)
    if handshake is None:  # nobody to tell: never the way to let somebody in
        return 0
    if not ok:
        handshake.verify_error = _lib.X509_STORE_CTX_get_error(store_ctx)
        handshake.verify_depth = depth
        if handshake.leaf is None:
            _note_leaf(handshake, store_ctx)
        return 0
    _note_leaf(handshake, store_ctx)
    known = handshake.judge(handshake.network, handshake.leaf_sha256) if handshake.judge is not None else None
    if known is None:
        return 1
    if known == "no_ticket":
        handshake.known = known
        _lib.SSL_set_options(_ffi.cast("SSL *", ssl), SSL.OP_NO_TICKET)
        return 1
    handshake.known = known
    handshake.verify_error = _KNOWN_BAD.get(known, _V_REFUSED)
    _lib.X509_STORE_CTX_set_error(store_ctx, handshake.verify_error)
    return 0


def _note_leaf(handshake: Any, store_ctx: Any) -> None:
    cert = _lib.X509_STORE_CTX_get0_cert(store_ctx)
    if cert == _ffi.NULL:
        return
    handshake.leaf = _der(cert)
    handshake.leaf_sha256 = sha256(handshake.leaf).digest()


_NEEDED = (
    "SSL_get_ex_data_X509_STORE_CTX_idx", "X509_STORE_CTX_get_ex_data", "X509_STORE_CTX_get_error_depth",
    "X509_STORE_CTX_get_error", "X509_STORE_CTX_set_error", "X509_STORE_CTX_get0_cert", "SSL_CTX_set_verify",
    "SSL_set_options",
)  # fmt: skip
#: Whether refusals by the trust table are told by an alert of their own.
hooked = all(hasattr(_lib, name) for name in _NEEDED) and hasattr(SSL.Connection, "_reverse_mapping")
_EX_INDEX = _lib.SSL_get_ex_data_X509_STORE_CTX_idx() if hooked else -1
# An exception in the hook counts as a refusal: cffi returns ``error``. It must outlive every context.
_hook: Any = _ffi.callback("int (*)(int, X509_STORE_CTX *)", _verify, error=0) if hooked else None
_MUST = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


def require_certificate(context: SSL.Context) -> None:
    """Demand a certificate of the client, with the hook where there is one."""
    if hooked:
        _lib.SSL_CTX_set_verify(context._context, _MUST, _hook)
    else:
        context.set_verify(_MUST, None)


def use_key(context: SSL.Context, pkcs8: bytes) -> None:
    """Take a private key, PKCS#8 in DER. pyOpenSSL's own way knows no ML-DSA keys, OpenSSL does. Raises SSL.Error."""
    try:
        key = crypto.load_privatekey(crypto.FILETYPE_ASN1, pkcs8)
    except crypto.Error as error:
        raise SSL.Error(*error.args) from error
    if not _lib.SSL_CTX_use_PrivateKey(context._context, key._pkey):
        raise SSL.Error([("", "", "the key was not taken")])


def use_chain(context: SSL.Context, chain: Sequence[bytes]) -> None:
    """Take a certificate and what stands above it (DER), beside those of other kinds of key. Raises SSL.Error, OSError.

    The binding has no function that gives a chain to one certificate of several, but for the one that reads a file: so
    a file it is, in memory.
    """
    with os.fdopen(os.memfd_create("chain", os.MFD_CLOEXEC), "wb", buffering=0) as made:
        made.write(b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in chain))
        context.use_certificate_chain_file(f"/proc/self/fd/{made.fileno()}")


def shown_of(connection: SSL.Connection, of: Sequence[ServerIdentity]) -> ServerIdentity:
    """Which of our certificates this handshake shows, once its ClientHello was read."""
    found = connection.get_certificate()
    shown = b"" if found is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, found)
    return next((one for one in of if one.chain[0] == shown), of[0])


def watch(connection: SSL.Connection, handshake: Watched) -> None:
    """Have the hook tell ``handshake`` of the leaf and of errors, for as long as it lives."""
    if hooked:
        connection.set_app_data(weakref.ref(handshake))  # it holds the connection itself


def set_session_seconds(context: SSL.Context, seconds: int) -> None:
    """How long sessions that begin from now on may be resumed; pyOpenSSL allows it before the first use only."""
    if hasattr(_lib, "SSL_CTX_set_timeout"):
        _lib.SSL_CTX_set_timeout(context._context, seconds)


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether the session was resumed: by a ticket, without certificates being exchanged."""
    if hasattr(_lib, "SSL_session_reused"):
        return bool(_lib.SSL_session_reused(connection._ssl))
    return connection.get_verified_chain() is None


def leaf_of(connection: SSL.Connection) -> bytes | None:
    """The device's certificate, DER; of a resumed session the one that its ticket carried."""
    found = _lib.SSL_get_peer_certificate(connection._ssl)
    if found == _ffi.NULL:
        return None
    try:
        return _der(found)
    finally:
        _lib.X509_free(found)


def others_of(connection: SSL.Connection) -> tuple[bytes, ...]:
    """What the device sent above its leaf, DER, in its order; nothing on resumption. (A server's stack has no leaf.)"""
    found = _lib.SSL_get_peer_cert_chain(connection._ssl)
    if found == _ffi.NULL:
        return ()
    return tuple([_der(_lib.sk_X509_value(found, at)) for at in range(_lib.sk_X509_num(found))])


def _der(cert: Any) -> bytes:
    """An ``X509 *`` as DER. pyOpenSSL makes an object of it and a buffer anew for each, which takes thrice as long."""
    if not _lib.i2d_X509_bio(_scratch, cert):
        raise SSL.Error([("", "", "a certificate could not be written")])
    return _all_of(_scratch)


def advance(connection: SSL.Connection, flight: bytes) -> bool:
    """Take ``flight`` into a handshake over memory, and go on with it: whether it is finished. Raises SSL.Error.

    By pyOpenSSL's own methods, to wait for the next flight is an exception: a fourth of what is not OpenSSL itself.
    """
    _lib.BIO_write(connection._into_ssl, flight, len(flight))
    result = _lib.SSL_do_handshake(connection._ssl)
    if result == 1:
        return True
    if _lib.SSL_get_error(connection._ssl, result) != _lib.SSL_ERROR_WANT_READ:
        connection._raise_ssl_error(connection._ssl, result)
    return False


_READ = 16_384
_room: Any = _ffi.new_allocator(should_clear_after_alloc=False)
#: Certificates are written into it and read back at once.
_scratch: Any = _ffi.gc(_lib.BIO_new(_lib.BIO_s_mem()), _lib.BIO_free)


def said(connection: SSL.Connection) -> bytes:
    """What it has to say to the device; empty: nothing."""
    return _all_of(connection._from_ssl)


def _all_of(bio: Any) -> bytes:
    """All that a buffer of OpenSSL's holds."""
    room = _room("char[]", _READ)
    length = _lib.BIO_read(bio, room, _READ)
    if length < _READ:  # it is empty then; less than nothing: it was
        return _ffi.buffer(room, length)[:] if length > 0 else b""
    return bytes(_ffi.buffer(room, length)) + _all_of(bio)


def release_buffers(context: SSL.Context) -> None:
    """Let connections give their buffers back while they wait."""
    context.set_mode(getattr(SSL, "MODE_RELEASE_BUFFERS", getattr(_lib, "SSL_MODE_RELEASE_BUFFERS", 0)))


def verify_reason(error: int) -> Reason:
    """The reason of an X509_V_ERR_*."""
    return _REASONS.get(error, BAD_CHAIN)


def verify_words(error: int) -> str:
    """OpenSSL's own words for an X509_V_ERR_*."""
    found = _lib.X509_verify_cert_error_string(error) if hasattr(_lib, "X509_verify_cert_error_string") else None
    return f"verification error {error}" if found is None else _ffi.string(found).decode("ascii", "replace")
