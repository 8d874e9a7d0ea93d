"""What a parsed certificate or CRL says."""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509

_T = TypeVar("_T", bound=x509.ExtensionType)


def value_of(extensions: x509.Extensions, kind: type[_T]) -> _T | None:
    """The extension's value, or None."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
