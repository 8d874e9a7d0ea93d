"""One session ticket for each full handshake of TLS 1.3, where OpenSSL gives two.

A browser wants several, for connections at the same time; a device joins once at a time, and is given a new ticket at
each resumption. Each takes some 600 octets, for it carries the device's certificate, so that the second one makes the
last flight longer than a fragment: one round trip more between device and server, of six. pyOpenSSL has no
``SSL_CTX_set_num_tickets``, but OpenSSL takes the number from a configuration file, which it reads once, when it is
loaded. The OpenSSL in ``cryptography`` is its own; Python's, which serves HTTP and RadSec, has been loaded by then and
keeps the machine's configuration.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import ssl
import sys
from pathlib import Path

_VARIABLE = "OPENSSL_CONF"
_ENGINE = "cryptography.hazmat.bindings._rust"


def one_ticket() -> bool:
    """Load EAP's OpenSSL so that it gives one ticket; before any other thread, and before anybody imports it.

    False: it had been loaded, or the operator has a configuration of his own. Then there are two, and nothing else
    differs.
    """
    if _ENGINE in sys.modules or _VARIABLE in os.environ:
        return False
    # Python's own library reads the machine's configuration now, if it has not yet.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hashlib.sha256(b"")
    os.environ[_VARIABLE] = str(Path(__file__).with_name("openssl.cnf"))
    try:
        importlib.import_module(_ENGINE)
    finally:
        del os.environ[_VARIABLE]
    return True
