"""A sealed key opens for its recipient, under its context and role, and otherwise never."""

from __future__ import annotations

import pytest

from troth.pki.signer.errors import SignerRefused
from troth.pki.signer.sealing import Recipient, Sealed, seal

SECRET = b"s" * 32


def test_what_was_sealed_opens_for_its_recipient() -> None:
    recipient = Recipient()
    sealed = seal(b"key", recipient.public, secret=SECRET, context="ocsp-1")
    assert b"key" not in sealed.ciphertext
    assert recipient.open(sealed, secret=SECRET, context="ocsp-1") == b"key"


def test_it_opens_for_nobody_else() -> None:
    recipient = Recipient()
    sealed = seal(b"key", recipient.public, secret=SECRET, context="ocsp-1")
    spoilt = sealed.ciphertext[:-1] + bytes((sealed.ciphertext[-1] ^ 1,))
    tries = [
        (Recipient(), sealed, SECRET, "ocsp-1"),
        (recipient, sealed, b"t" * 32, "ocsp-1"),
        (recipient, sealed, SECRET, "ocsp-2"),
        (
            recipient,
            Sealed(sealed.ephemeral, spoilt),
            SECRET,
            "ocsp-1",
        ),
        (recipient, Sealed(Recipient().public, sealed.ciphertext), SECRET, "ocsp-1"),
        (recipient, Sealed(b"short", sealed.ciphertext), SECRET, "ocsp-1"),
    ]
    for who, what, secret, context in tries:
        with pytest.raises(SignerRefused):
            who.open(what, secret=secret, context=context)


@pytest.mark.parametrize("public", [b"", b"\x00" * 32, b"\x01" + b"\x00" * 31, b"x" * 33])
def test_a_recipient_key_of_small_order_or_size_is_refused(public: bytes) -> None:
    with pytest.raises(SignerRefused):
        seal(b"key", public, secret=SECRET, context="ocsp-1")
