"""What POSIX and Windows do differently, in one place: files, links, locks, owners, programs.

``posix`` and ``windows`` have the same functions; what is imported from here is this machine's.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from troth.agent.system.windows import (
        CONFIG,
        READ,
        SERVES,
        STATE,
        end,
        environment,
        hold,
        make_directory,
        others_may_read,
        owner,
        point,
        read_link,
        scratch,
        sync_directory,
        troubles,
        write,
    )
else:
    from troth.agent.system.posix import (
        CONFIG,
        READ,
        SERVES,
        STATE,
        end,
        environment,
        hold,
        make_directory,
        others_may_read,
        owner,
        point,
        read_link,
        scratch,
        sync_directory,
        troubles,
        write,
    )

__all__ = [
    "CONFIG",
    "READ",
    "SERVES",
    "STATE",
    "end",
    "environment",
    "hold",
    "make_directory",
    "others_may_read",
    "owner",
    "point",
    "read_link",
    "scratch",
    "sync_directory",
    "troubles",
    "write",
]
