"""What a place for keys promises.

Every method may block (a token takes its time, a TPM makes an RSA key for seconds): the agent calls them on a thread,
one at a time for each place. All of them raise :class:`~troth.agent.errors.KeyTrouble`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from troth.client.jose import PrivateKey, PublicKey

KeyType: TypeAlias = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096"]

#: The values of an attestation statement as CBOR has them; text keys only.
Statement: TypeAlias = "Mapping[str, StatementValue]"
StatementValue: TypeAlias = "int | str | bytes | list[StatementValue] | Mapping[str, StatementValue]"


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """How a consumer gets at a key.

    Attributes:
        pem: what the installed form ``key`` holds. The key itself (PKCS#8), or what OpenSSL's providers take in its
            place: ``TSS2 PRIVATE KEY`` (tpm2-openssl), ``PKCS#11 PROVIDER URI`` (pkcs11-provider).
        uri: a PKCS#11 URI (RFC 7512) or such, for consumers that are configured with one; empty if there is none.
        exportable: whether ``pem`` is the key itself, so that it can go into a PKCS#12 file.
    """

    pem: bytes
    uri: str = ""
    exportable: bool = False


@dataclass(frozen=True, slots=True)
class Attested:
    """What a key's place says about it (draft-ietf-acme-device-attest): ``attObj`` before it is encoded."""

    format: str
    statement: Statement


class HeldKey(Protocol):
    """One private key in its place."""

    @property
    def label(self) -> str:
        """The name under which :meth:`KeyPlace.load` finds it."""
        ...

    @property
    def public_key(self) -> PublicKey: ...

    def private_key(self) -> PrivateKey:
        """An object that signs as ``cryptography``'s keys do; it need not be exportable. A certificate request is
        signed with it: ``CertificateSigningRequestBuilder.sign`` takes subclasses of the library's key classes."""
        ...

    def access(self) -> KeyAccess: ...


@runtime_checkable
class AttestingKey(HeldKey, Protocol):
    """A key whose place can say to others what it is."""

    def attest(self, key_authorization: str) -> Attested:
        """A statement that binds the key to ``key_authorization`` (``token.thumbprint``; the format hashes it)."""
        ...

    def disbelieved(self) -> None:
        """A server did not believe the statement: the next one should rest on fresh certificates."""
        ...


class KeyPlace(Protocol):
    """Where keys are made and held. ``label`` is the agent's own: letters, digits, ``-``, ``_`` and ``.``; it is
    written down before the key is made, so that after a kill the key is found by it, or was never made."""

    def create(self, label: str, type: KeyType) -> HeldKey:
        """Make a key. One of this label, left by an attempt that was cut short, is replaced."""
        ...

    def load(self, label: str) -> HeldKey:
        """The key of this label; KEY_MISSING if there is none."""
        ...

    def remove(self, label: str) -> None:
        """Have no key of this label."""
        ...


@runtime_checkable
class HoldsCertificates(Protocol):
    """A place that keeps certificates beside its keys, for consumers that look for them there."""

    def attach(self, label: str, certificate: bytes) -> None:
        """Have the DER ``certificate`` beside the key ``label``, and no other."""
        ...
