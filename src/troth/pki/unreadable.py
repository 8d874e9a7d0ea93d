"""What the library raises for a certificate, a request or a CRL that it cannot read.

Where it reads depends on what is asked, and on its version: the DER at once, the version with it, names and extensions
when somebody looks at them. Whoever reads what a stranger sent catches all of it, and says so in words of his own.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

#: :class:`x509.ExtensionNotFound` is not among them: an extension that is not there has been read.
UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
