"""One operating-system process, ours or found: waited for without polling where the kernel allows."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess

_POLL_SECONDS = 0.1


class Process:
    """A running process. Make one with :meth:`child` or :meth:`existing`.

    On Linux it is held by a pidfd, so that a signal never reaches a stranger who got the same number later, and the
    end of a process that is not our child can be waited for.
    """

    def __init__(self, pid: int, popen: subprocess.Popen[bytes] | None, pidfd: int | None) -> None:
        self.pid = pid
        self._popen = popen
        self._pidfd = pidfd

    @classmethod
    def child(cls, popen: subprocess.Popen[bytes]) -> Process:
        """A child just started."""
        return cls(popen.pid, popen, _open(popen.pid))

    @classmethod
    def existing(cls, pid: int) -> Process | None:
        """A process that we did not start, or None if there is none with this id."""
        pidfd = _open(pid)
        if pidfd is None and not _exists(pid):
            return None
        return cls(pid, None, pidfd)

    def __del__(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    @property
    def status(self) -> int | None:
        """A child's exit status once it has ended (negative: the signal that killed it); None for others."""
        return self._popen.poll() if self._popen is not None else None

    def ended(self) -> bool:
        """Whether it has ended."""
        if self._popen is not None:
            return self._popen.poll() is not None
        if self._pidfd is not None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            return bool(poll.poll(0))
        return not _exists(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.ended():
            return
        try:
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, at most ``seconds``; whether it has ended."""
        try:
            async with asyncio.timeout(seconds):
                while not self.ended():
                    await self._change()
        except TimeoutError:
            return self.ended()
        return True

    async def _change(self) -> None:
        if self._pidfd is None:
            await asyncio.sleep(_POLL_SECONDS)
            return
        loop = asyncio.get_running_loop()
        # A descriptor can be watched once per loop, and several tasks may wait for one process.
        watched = os.dup(self._pidfd)
        readable = asyncio.Event()
        loop.add_reader(watched, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old or a filtered kernel, or no such process
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
