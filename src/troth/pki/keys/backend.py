"""What a token or a key service must be able to do, so that :class:`~troth.pki.keys.held.HeldKeys` makes a custodian
of it.

A backend knows no limits, no authorities and no files. It tells two kinds of trouble apart:
:class:`~troth.pki.keys.errors.CustodianDown` when it cannot be used at all (it is asked again after a pause), and
:class:`~troth.pki.keys.errors.KeyUnavailable` when only the one key cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import CUSTODIAN_ANSWER, KeyUnavailable


@dataclass(frozen=True, slots=True)
class Made:
    """A fresh key.

    Attributes:
        handle: how the backend finds it again.
        public_key: SubjectPublicKeyInfo, DER.
        evidence: what the backend says of it: (attribute, value).
    """

    handle: Mapping[str, str]
    public_key: bytes
    evidence: tuple[tuple[str, str], ...]


class Backend(Protocol):
    """A token or a key service. Methods may be called from any thread, and each ends within its time limit."""

    @property
    def algorithms(self) -> frozenset[KeyAlgorithm]:
        """The kinds of key that it makes."""
        ...

    @property
    def sealed(self) -> bool:
        """Whether it waits for :meth:`unseal`."""
        ...

    def unseal(self, secret: bytes) -> None:
        """Take the secret that opens it. Raises KeyUnavailable when it is not the right one."""
        ...

    def generate(self, key_id: str, algorithm: KeyAlgorithm) -> Made:
        """Make a key that cannot leave. Raises KeyUnavailable."""
        ...

    def public_key(self, handle: Mapping[str, str]) -> bytes:
        """The public half as held there now: SubjectPublicKeyInfo, DER. Raises KeyUnavailable."""
        ...

    @property
    def longest(self) -> int:
        """Octets of the longest message that is given whole; of longer ones the digest is. Ed25519 has no digest."""
        ...

    def sign(self, handle: Mapping[str, str], algorithm: KeyAlgorithm, content: bytes, *, digested: bool) -> bytes:
        """The signature as it goes into a BIT STRING. Raises KeyUnavailable.

        ``content`` is the message, or with ``digested`` what ``troth.pki.prehash`` makes of it: the hash, for ML-DSA µ.
        """
        ...

    def close(self) -> None:
        """Let go of sessions and connections; they are made anew when needed."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """A backend that can take keys which it did not make."""

    def find(self, label: str) -> Made:
        """The one key of that label, as it is held there. Raises KeyUnavailable."""
        ...


def expect(holds: bool, otherwise: str) -> None:
    """Raise KeyUnavailable, saying ``otherwise``, for an answer that is not to what was asked."""
    if not holds:
        raise KeyUnavailable(CUSTODIAN_ANSWER, otherwise)
