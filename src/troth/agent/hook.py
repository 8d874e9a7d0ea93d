"""Programs of the operator: no shell, no inherited secrets, a time limit that holds for their children too."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from troth.agent import system
from troth.agent.errors import HOOK_FAILED, AgentError

_TOLD = 1500


async def run(command: Sequence[str], environment: Mapping[str, str], timeout: float) -> str:
    """Run ``command`` to its end; the end of what it said. Raises AgentError unless it ends with 0 in time."""
    environ = {**system.environment(), **environment}
    # Not a pipe: a program that leaves a child behind would hold it open, and we would wait for the child.
    output = system.scratch()
    try:
        code = await _ended(command, environ, output, timeout)
        said = _said(output)
    finally:
        os.close(output)
    if code != 0:
        raise AgentError(HOOK_FAILED, f"{command[0]} ended with {code}: {said or 'it said nothing'}")
    return said


async def _ended(command: Sequence[str], environ: Mapping[str, str], output: int, timeout: float) -> int:
    """The exit code of ``command``; killed with its children when the time is up, or when nobody waits any more."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise AgentError(HOOK_FAILED, f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout):
            return await process.wait()
    except TimeoutError:
        raise AgentError(HOOK_FAILED, f"{command[0]} has not ended within {timeout:g} seconds") from None
    finally:
        if process.returncode is None:
            system.end(process)
            await process.wait()


def _said(output: int) -> str:
    size = os.fstat(output).st_size
    os.lseek(output, max(0, size - _TOLD), os.SEEK_SET)
    data = os.read(output, _TOLD).decode("utf-8", "replace")
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in data).strip()
