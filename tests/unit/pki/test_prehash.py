"""Signatures over digests that were taken piece by piece are those over the whole message."""

from __future__ import annotations

import pytest

from troth.pki import algorithms
from troth.pki.crl_der import CrlFrame
from troth.pki.crl_digest import digests_of
from troth.pki.keys.algorithm import KeyAlgorithm, generate_private_key
from troth.pki.prehash import digest_verifies, new_digest, sign_digest

FRAME = CrlFrame(b"head", 6, b"tail")
RUNS = (b"ent", b"ries"[:3])
MESSAGE = b"headent" + b"riestail"[:3] + b"tail"


@pytest.mark.parametrize("kind", sorted(set(KeyAlgorithm) - {KeyAlgorithm.RSA4096}))
async def test_a_signature_over_pieces_is_one_over_the_whole(kind: KeyAlgorithm) -> None:
    key = generate_private_key(kind)
    public = key.public_key()
    digests = await digests_of(public, FRAME, RUNS)
    digest = new_digest(public)
    if digest is None:
        assert kind is KeyAlgorithm.ED25519
        assert digests.signed_over is None
        assert digests.verifies(public, algorithms.sign_with(key, MESSAGE), FRAME, RUNS)
        with pytest.raises(ValueError, match="whole messages"):
            sign_digest(key, b"")
        return
    for piece in (FRAME.head, *RUNS, FRAME.tail):
        digest.update(piece)
    assert digest.digest() == digests.signed_over
    signature = sign_digest(key, digest.digest())
    algorithms.verify(public, signature, MESSAGE)
    assert digests.verifies(public, algorithms.sign_with(key, MESSAGE), FRAME, RUNS)
    assert not digest_verifies(public, signature, bytes(len(digest.digest())))
    assert not digests.verifies(public, algorithms.sign_with(key, b"other"), FRAME, RUNS)
