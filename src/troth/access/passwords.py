"""Passwords: what is accepted, how they are stored (argon2id), and checks that take one time for everybody.

Checks run in threads (argon2 lets go of the GIL), at most two at once in a process: each takes 64 MiB, and a flood of
log-ins must cost the attacker his time and not this process its memory.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from troth.access.errors import PASSWORD_WEAK, AccessError

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 256


def normal(text: str) -> str:
    """NFKC, so that one password typed on two keyboards is one password (SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", text)


def require_strength(password: str, *, name: str) -> None:
    """Raise AccessError(PASSWORD_WEAK) unless 12 characters remain once the account's name is taken out."""
    password = normal(password)
    if len(password) > MAXIMUM_LENGTH:
        raise AccessError(PASSWORD_WEAK, f"a password has at most {MAXIMUM_LENGTH} characters")
    if len(password) < MINIMUM_LENGTH:
        raise AccessError(PASSWORD_WEAK, f"a password has at least {MINIMUM_LENGTH} characters")
    if name and len(password.casefold().replace(normal(name).casefold(), "")) < MINIMUM_LENGTH:
        raise AccessError(PASSWORD_WEAK, "a password is more than the account's name")
    if len(set(password)) < 5:
        raise AccessError(PASSWORD_WEAK, "a password has at least five different characters")


def _nobodys(hasher: PasswordHasher) -> str:
    """What might be stored for a password at the costs of ``hasher``, made by chance and not from any password.

    Making a real one takes 0.13 s of each start; to check against this one costs as much as against a real one.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${costs}${salt}${digest}"


class Passwords:
    """Hash and check. The default costs are RFC 9106's second recommendation (64 MiB, 3 passes, 4 lanes)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(2)
        self._nobody = _nobodys(self._hasher)

    async def hash(self, password: str) -> str:
        """The argon2id string to store."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, normal(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether ``password`` is the one stored.

        With nothing stored (no such account, or passkeys only) a check of the same cost is made and fails, so
        that the time taken does not tell which accounts exist.
        """
        async with self._slots:
            return await asyncio.to_thread(self._check, stored, normal(password)[: MAXIMUM_LENGTH + 1])

    def _check(self, stored: str | None, password: str) -> bool:
        try:
            self._hasher.verify(stored or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made at other costs than today's, and should be made anew at this log-in."""
        return self._hasher.check_needs_rehash(stored)
