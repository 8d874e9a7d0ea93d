"""Anti-replay nonces (RFC 8555, section 6.5) without a table: at most once, in every process, across restarts.

A nonce is ``counter ‖ issued_at ‖ tag``, 30 octets, where ``tag`` is a keyed BLAKE2b of the rest: nobody can make
one, and reading one back needs no look-up. That it is used once is kept in a *map*: a ring of 2^24 bits, one for each
of the last 2^24 counters, in a file that all web processes map into their memory. Using a nonce is: check the tag,
check the age, lock the octet that holds the bit, find it clear, set it.

- **Counters** are given to processes in blocks of 4,096. Taking a block moves ``head`` forward *first* and clears
  the block's bits *then*, both before any of its counters is handed out. A nonce whose counter lies a whole ring or
  more behind ``head`` is refused, so a bit is never read for any but its present owner. (At 2,300 nonces a second
  the ring turns over in two hours, the usual lifetime; at more, nonces simply age sooner, and clients retry.)
- **Locks** are POSIX record locks on the very octets in question (they die with their process), and, between the
  objects of one process, one module-wide lock. They are held for microseconds, and two processes meet only where
  their nonces are neighbours.
- **Restart** of any or all processes loses nothing: the map is the page cache's, not a process's. After a *reboot*
  the file may hold an older state than was last seen, so it is bound to the kernel's boot id; bound likewise to its own
  inode, so that a restored copy is recognised. When either differs, or the header's checksum does not hold, a fresh
  key is made: every nonce given out before is then refused, and none can be accepted twice.

What is trusted: the file's owner and the kernel. What may be lost: the file (clients get one badNonce and retry).
What must never happen: the map going back in time under the same key.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import mmap
import os
import secrets
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from troth.client.errors import JoseError
from troth.client.jose import b64url_decode, b64url_encode
from troth.enroll.acme.errors import NONCE_MAP_UNUSABLE
from troth.kit.clock import Clock
from troth.kit.errors import TrothError

LIFETIME = timedelta(hours=2)
RING_BITS = 24

_BLOCK = 4096  # counters; 512 octets of the map
_MAGIC = b"troth-nonces-1\x00\x00"
_HEADER_SIZE = 4096
_HEADER = struct.Struct(">16sB3x32s64sQQ")  # magic, ring bits, key, boot id, device, inode
_SUM_AT = _HEADER.size
_SUM_SIZE = 32
_HEAD_AT = 256
_HEAD = struct.Struct(">QQ")  # head and its complement: a torn head is seen
_BODY = struct.Struct(">QI")
_TAG_SIZE = 18
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PERSON = b"troth-nonce"

# POSIX locks do not exclude within a process, and closing any descriptor of a file drops them all: so no two objects
# of one process may hold one at the same time.
_within_process = threading.RLock()


class NonceMap:
    """Gives out nonces and consumes each at most once. Open one per process, after forking.

    Args:
        path: the map's file, created with mode 0600; all processes name the same.
        lifetime: how long a nonce may be used; RFC 8555 names no bound, clients need an hour.
        ring_bits: log2 of how many of the latest nonces are told apart. All processes must agree.

    Raises TrothError if the file cannot be opened safely.
    """

    def __init__(self, path: Path, *, clock: Clock, lifetime: timedelta = LIFETIME, ring_bits: int = RING_BITS) -> None:
        if not 13 <= ring_bits <= 32:
            raise ValueError("the ring holds 2^13 to 2^32 nonces")
        self._path = path
        self._clock = clock
        self._lifetime = int(lifetime.total_seconds())
        self._ring = 1 << ring_bits
        self._ring_bits = ring_bits
        self._closed = False
        self._file: int = -1
        self._map: mmap.mmap
        self._open()

    def issue(self) -> str:
        """A fresh nonce: 40 characters of base64url."""
        with _within_process:
            if self._file < 0:
                self._reopen()
            if self._next == self._end or self._map[: self._stamp_size] != self._stamp:
                self._take_block()
            counter = self._next
            self._next += 1
            body = _BODY.pack(counter, int(self._clock.now().timestamp()))
            return b64url_encode(body + self._tag(body))

    def consume(self, nonce: str) -> bool:
        """Whether ``nonce`` is ours, no older than the lifetime, and not consumed before by any process."""
        try:
            raw = b64url_decode(nonce)
        except JoseError:
            return False
        if len(raw) != _BODY.size + _TAG_SIZE:
            return False
        body, tag = raw[: _BODY.size], raw[_BODY.size :]
        with _within_process:
            if self._file < 0:
                self._reopen()
            if not self._is_ours(body, tag):
                return False
            counter, issued_at = _BODY.unpack(body)
            age = int(self._clock.now().timestamp()) - issued_at
            # A nonce from the future was made before the clock was set back. The map, not the clock, prevents replay.
            if not -self._lifetime <= age <= self._lifetime:
                return False
            position = _HEADER_SIZE + (counter % self._ring >> 3)
            bit = 1 << (counter & 7)
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, position)
            try:
                head = self._head()
                if head is None or not head - self._ring <= counter < head:
                    return False
                if self._map[: self._stamp_size] != self._stamp:
                    return False  # another process made a new key between our check and our lock
                octet = self._map[position]
                if octet & bit:
                    return False
                self._map[position] = octet | bit
                return True
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, position)

    def close(self) -> None:
        """Let go of the file. What was used stays used."""
        with _within_process:
            self._closed = True
            self._let_go()

    # The file.

    def _reopen(self) -> None:
        if self._closed:
            raise ValueError("this nonce map is closed")
        self._open()  # following a replaced file failed before; perhaps its disk is back

    def _let_go(self) -> None:
        if self._file >= 0:
            self._map.close()
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        """Open or create the file, and make a new key unless the file is intact, of this boot and in its place."""
        self._file = -1
        self._next = self._end = 0
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TrothError(NONCE_MAP_UNUSABLE, f"cannot open {self._path}: {error.strerror}") from error
        try:
            state = os.fstat(self._file)
            if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
                raise TrothError(NONCE_MAP_UNUSABLE, f"{self._path} is no regular file of this user")
            os.fchmod(self._file, 0o600)
            size = _HEADER_SIZE + self._ring // 8
            boot_id = _read_boot_id()
            with _within_process, self._locked(0, _HEADER_SIZE):
                # A file cut short has lost used bits, however sound its header is. It is only ever made longer: to
                # shorten it would kill every process that has it mapped (SIGBUS), as would a hole on a full disk.
                whole = os.fstat(self._file).st_size >= size
                os.posix_fallocate(self._file, 0, size)
                self._map = mmap.mmap(self._file, size)
                if not whole or not self._read_header(boot_id, state):
                    self._write_header(boot_id, state)
        except OSError as error:
            os.close(self._file)
            self._file = -1
            raise TrothError(NONCE_MAP_UNUSABLE, f"cannot use {self._path}: {error.strerror}") from error
        except TrothError:
            os.close(self._file)
            self._file = -1
            raise

    def _read_header(self, boot_id: bytes, state: os.stat_result) -> bool:
        fixed = self._map[: _HEADER.size]
        magic, bits, key, boot, device, inode = _HEADER.unpack(fixed)
        if not hmac.compare_digest(_checksum(fixed), self._map[_SUM_AT : _SUM_AT + _SUM_SIZE]):
            return False
        if (magic, bits, boot.rstrip(b"\x00")) != (_MAGIC, self._ring_bits, boot_id):
            return False
        if (device, inode) != (state.st_dev, state.st_ino) or self._head() is None:
            return False
        self._adopt(key)
        return True

    def _write_header(self, boot_id: bytes, state: os.stat_result) -> None:
        key = secrets.token_bytes(32)
        fixed = _HEADER.pack(_MAGIC, self._ring_bits, key, boot_id, state.st_dev, state.st_ino)
        # Every bit's lock, so that nobody who still believes the old key is between looking at a bit and setting it.
        with self._locked(_HEADER_SIZE, self._ring // 8):
            # The checksum last: a process that dies in between leaves a header that the next one does not believe.
            self._map[_SUM_AT : _SUM_AT + _SUM_SIZE] = bytes(_SUM_SIZE)
            self._map[_HEADER_SIZE:] = bytes(self._ring // 8)
            self._set_head(self._ring)
            self._map[: _HEADER.size] = fixed
            self._map[_SUM_AT : _SUM_AT + _SUM_SIZE] = _checksum(fixed)
        self._adopt(key)

    def _adopt(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=_TAG_SIZE, key=key, person=_PERSON)
        self._stamp_size = _SUM_AT + _SUM_SIZE
        self._stamp = self._map[: self._stamp_size]

    def _reopen_if_replaced(self) -> bool:
        """Follow the file if another process re-keyed or replaced it. Returns whether anything changed."""
        try:
            named = os.stat(self._path, follow_symlinks=False)
            same = (named.st_dev, named.st_ino) == _identity(self._file)
        except FileNotFoundError:
            same = False
        if same and self._map[: self._stamp_size] == self._stamp:
            return False
        self._let_go()
        self._open()
        return True

    # Counters and tags.

    def _take_block(self) -> None:
        self._reopen_if_replaced()
        with self._locked(_HEAD_AT, _HEAD.size):
            head = self._head()
            if head is None:
                raise TrothError(NONCE_MAP_UNUSABLE, "the map's head is damaged; restart Troth to make a new map")
            self._set_head(head + _BLOCK)
        start, size = _HEADER_SIZE + (head % self._ring >> 3), _BLOCK // 8
        with self._locked(start, size):
            self._map[start : start + size] = bytes(size)
        self._next, self._end = head, head + _BLOCK

    def _is_ours(self, body: bytes, tag: bytes) -> bool:
        if hmac.compare_digest(tag, self._tag(body)):
            return True
        return self._reopen_if_replaced() and hmac.compare_digest(tag, self._tag(body))

    def _tag(self, body: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(body)
        return keyed.digest()

    def _head(self) -> int | None:
        for _ in range(8):  # read without its lock, it may be met half-written
            head, complement = _HEAD.unpack(self._map[_HEAD_AT : _HEAD_AT + _HEAD.size])
            if head == complement ^ 0xFFFF_FFFF_FFFF_FFFF:
                return int(head)
        return None

    def _set_head(self, head: int) -> None:
        self._map[_HEAD_AT : _HEAD_AT + _HEAD.size] = _HEAD.pack(head, head ^ 0xFFFF_FFFF_FFFF_FFFF)

    @contextmanager
    def _locked(self, start: int, size: int) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, size, start)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, size, start)


def _identity(file: int) -> tuple[int, int]:
    state = os.fstat(file)
    return state.st_dev, state.st_ino


def _checksum(fixed: bytes) -> bytes:
    return hashlib.blake2b(fixed, digest_size=_SUM_SIZE, person=b"troth-nonce-map").digest()


def _read_boot_id() -> bytes:
    try:
        return _BOOT_ID.read_bytes().strip()
    except OSError as error:
        raise TrothError(NONCE_MAP_UNUSABLE, "the kernel tells no boot id") from error
