"""What a process that holds private keys does to itself before it loads one."""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core dumps, no ptrace and no ``/proc/<pid>/mem`` for processes of the same uid; files private by default.

    Best effort where the platform lacks it: the boundary that counts is a uid of its own (``docs/``, production).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    try:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        return
