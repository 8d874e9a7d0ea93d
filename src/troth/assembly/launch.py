"""How a role's process comes into being: by executing a command, or by a fork of one that has loaded the program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from troth.assembly.context import VARIABLE, Inherited, Role
from troth.assembly.layout import Layout
from troth.assembly.process import Process

Command = Callable[[Role, Layout], list[str]]


def serve_command(role: Role, layout: Layout) -> list[str]:
    """The command line of a role's process. ``-P``: what lies in the working directory is not imported."""
    return [sys.executable, "-P", "-m", "troth", "serve", "--role", role, "--data", str(layout.root)]


class Launcher(Protocol):
    """Starts processes of roles."""

    def holder(self) -> int:
        """The process that the new one will be a child of: with it, it ends."""
        ...

    async def launch(self, role: Role, handed_down: Inherited) -> Process:
        """A new process of ``role``. Raises AssemblyError or OSError if it cannot even begin."""
        ...


@dataclass(frozen=True)
class ByExecution:
    """A child of ours that executes ``command`` and shares no memory with anybody.

    Attributes:
        lock: the held lock on the data directory; the child inherits it.
        environ: the environment it gets.
    """

    layout: Layout
    lock: int
    environ: Mapping[str, str]
    command: Command = serve_command

    def holder(self) -> int:
        """This process."""
        return os.getpid()

    async def launch(self, role: Role, handed_down: Inherited) -> Process:
        """See :class:`Launcher`."""
        return Process.child(self._execute(role, handed_down))

    def _execute(self, role: Role, handed_down: Inherited) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(role, self.layout),
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output belongs to the supervisor's one line of JSON
            env={**self.environ, VARIABLE: handed_down.encode()},
            pass_fds=(*handed_down.descriptors(), self.lock),
            # A process group of its own: Ctrl-C reaches the supervisor alone, which stops things in their order.
            process_group=0,
        )
