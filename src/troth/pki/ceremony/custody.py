"""The key of a ceremony: made, or opened with what its custodians bring.

Whatever holds it, the rest of the ceremony sees :class:`OpenKey`: a public half, one way to sign, and evidence.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from troth.pki.algorithms import PrivateKey, PublicKey
from troth.pki.ceremony.desk import Desk
from troth.pki.ceremony.errors import KEY_FILE, KEY_OTHER, CeremonyFailed, PlanRefused
from troth.pki.ceremony.plan import Custodians, Custody, Plan
from troth.pki.ceremony.sealed_key import WRAPPING_SIZE, parse, seal, unseal
from troth.pki.ceremony.share_files import encrypted
from troth.pki.ceremony.shares import ShareSet, split, wipe
from troth.pki.keys.algorithm import KeyAlgorithm, algorithm_of, generate_private_key, signing_function

SEALED, SHARES, SHARE_FILES = "key.sealed", "shares.json", "shares"


class People(Protocol):
    """Those who are present."""

    def tell(self, text: str) -> None:
        """Say something."""
        ...

    def secret(self, listed: ShareSet) -> bytearray:
        """The secret that the custodians of ``listed`` put together. Raises SharesRefused."""
        ...

    def consent(self, digest: bytes) -> None:
        """Have the operator compare and agree before a signature. Raises CeremonyFailed."""
        ...


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key that can sign now.

    Attributes:
        evidence: what is known of how it is held: (attribute, value).
        label: in a token.
    """

    algorithm: KeyAlgorithm
    public_key: PublicKey
    sign: Callable[[bytes], bytes] = field(repr=False)
    evidence: tuple[tuple[str, str], ...] = ()
    label: str | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)


def in_memory(private: PrivateKey, evidence: tuple[tuple[str, str], ...]) -> OpenKey:
    """A software key."""
    return OpenKey(algorithm_of(private), private.public_key(), signing_function(private), evidence)


def throw_away(algorithm: KeyAlgorithm) -> OpenKey:
    """A key for a rehearsal: nobody has it afterwards."""
    return in_memory(generate_private_key(algorithm), (("custody", "throw-away"),))


def make_key(plan: Plan, desk: Desk, people: People) -> OpenKey:
    """Make the plan's key; what opens it is split and written before this returns. Raises CeremonyFailed, OSError."""
    if plan.document.key.custody is Custody.PKCS11:
        from troth.pki.ceremony.token import make_token_key

        return make_token_key(plan, desk, people)
    custodians = plan.document.custodians
    if custodians is None:
        raise PlanRefused(KEY_OTHER, "nobody is there to keep the key")
    private = generate_private_key(plan.document.key.algorithm)
    wrapping = bytearray(secrets.token_bytes(WRAPPING_SIZE))
    try:
        listed = give_shares(wrapping, custodians, f"sealed key: {plan.document.title}", desk)
        sealed = seal(private, plan.document.key.algorithm, wrapping, listed.set_id)
    finally:
        wipe(wrapping)
    desk.write(SEALED, sealed.encode(), private=True)
    return in_memory(private, _software_evidence(listed))


def give_shares(secret: bytearray, custodians: Custodians, purpose: str, desk: Desk) -> ShareSet:
    """Split ``secret`` and write each custodian's age file, and the list, to the desk."""
    listed, shares = split(secret, custodians, purpose)
    for name, content in encrypted(shares, purpose).items():
        desk.write(f"{SHARE_FILES}/{name}", content)
    desk.write(SHARES, listed.encode())
    return listed


def reopen_key(plan: Plan, desk: Desk, people: People) -> OpenKey:
    """The key that this very ceremony made before it was cut short."""
    if plan.document.key.custody is Custody.PKCS11:
        from troth.pki.ceremony.token import make_token_key

        return make_token_key(plan, desk, people)
    people.tell("This ceremony was cut short after its key was made; the custodians open the key again.")
    return _unsealed(desk.read(SEALED), desk.read(SHARES), people)


def open_key(plan: Plan, people: People) -> OpenKey:
    """The existing key that the plan names. Raises PlanRefused, SharesRefused, CeremonyFailed."""
    key = plan.document.key
    if key.custody is Custody.PKCS11:
        from troth.pki.ceremony.token import open_token_key

        return open_token_key(plan, people)
    if key.custody is Custody.SOFTWARE:
        opened = _unsealed(plan.read(key.sealed, "the sealed key"), plan.read(key.shares, "the shares' list"), people)
    else:
        opened = _from_pem(plan)
    if opened.algorithm is not key.algorithm:
        raise CeremonyFailed(KEY_OTHER, f"the plan says {key.algorithm}, the key is {opened.algorithm}")
    return opened


def _unsealed(content: bytes, listing: bytes, people: People) -> OpenKey:
    sealed, listed = parse(content), ShareSet.parse(listing)
    if sealed.set_id != listed.set_id:
        raise CeremonyFailed(KEY_FILE, "the list of shares is of another key")
    wrapping = people.secret(listed)
    try:
        private = unseal(sealed, wrapping)
    finally:
        wipe(wrapping)
    return in_memory(private, _software_evidence(listed))


def _software_evidence(listed: ShareSet) -> tuple[tuple[str, str], ...]:
    groups = ", ".join(f"{group.threshold} of {len(group.holders)} {group.name}" for group in listed.groups)
    needed = f"{listed.groups_needed} of {len(listed.groups)} groups: {groups}"
    return (("custody", "software, sealed under shares"), ("shares", needed), ("share set", listed.set_id))


def _from_pem(plan: Plan) -> OpenKey:
    key = plan.document.key
    passphrase = bytearray(plan.read(key.passphrase, "the passphrase", most=4096).strip())
    try:
        private = load_pem_private_key(plan.read(key.file, "the key"), bytes(passphrase))
        algorithm_of(private)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CeremonyFailed(KEY_FILE) from error
    finally:
        wipe(passphrase)
    if not isinstance(private, PrivateKey):
        raise CeremonyFailed(KEY_FILE, "a key of no supported kind")
    return in_memory(private, (("custody", "encrypted file with a passphrase"),))
