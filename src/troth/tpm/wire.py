"""The ground of the TPM's encodings: big-endian integers and sized buffers (TPM 2.0 Library, Part 2)."""

from __future__ import annotations

from troth.tpm.errors import STRUCTURE, TpmMalformed

#: No structure that is read here is near it; a larger one is not looked at.
MAX_STRUCTURE = 4096


def malformed(what: str) -> TpmMalformed:
    """The refusal of a structure, saying what is wrong with it."""
    return TpmMalformed(STRUCTURE, what)


class Unmarshal:
    """Reads one structure from its beginning to its end.

    Args:
        data: the whole structure.
        name: what it is called in refusals: ``TPMT_PUBLIC``.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if len(data) > MAX_STRUCTURE:
            raise malformed(f"{name} has {len(data)} bytes, more than {MAX_STRUCTURE}")
        self._data = data
        self._at = 0
        self._name = name

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise malformed(f"{self._name} ends at byte {len(self._data)}, in the middle of a field")
        self._at += count
        return found

    def integer(self, size: int) -> int:
        """An unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.take(size))

    def sized(self, at_most: int) -> bytes:
        """A TPM2B: two bytes of length, then so many bytes, ``at_most`` at most."""
        length = self.integer(2)
        if length > at_most:
            raise malformed(f"{self._name} has a field of {length} bytes, where {at_most} are the most")
        return self.take(length)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Nothing may follow."""
        rest = len(self._data) - self._at
        if rest:
            raise malformed(f"{self._name} is followed by {rest} bytes that do not belong to it")


def tpm2b(data: bytes) -> bytes:
    """``data`` with its length before it."""
    return len(data).to_bytes(2) + data
