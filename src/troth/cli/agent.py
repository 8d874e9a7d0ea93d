"""``troth agent``: get and keep the certificates of this host. Needs no server on this machine, and imports none."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from troth.agent import config as configuration
from troth.agent import disk, system
from troth.agent.console import Console
from troth.agent.control import ask
from troth.agent.errors import CONFIG, PLATFORM, AgentError
from troth.agent.notify import Notifier
from troth.agent.state import StateDirectory
from troth.agent.supervisor import Agent
from troth.agent.unit import NAME, hidden, unit
from troth.cli.options import Output
from troth.cli.show import as_json, facts, plain, table, when
from troth.kit import log as logging
from troth.kit.clock import SystemClock

app = App(name="agent", help="Get and keep the certificates of this host.", help_format="plaintext")

Config = Annotated[Path, Parameter(name=["--config", "-c"], help="Its configuration.")]
Name = Annotated[str, Parameter(help="The certificate's name in the configuration.")]

_MARKS = {"good": "✓", "held": "!", "failing": "!", "absent": "✗", "ending": "✗", "ended": "✗"}


@app.command
def run(*, config: Config = configuration.DEFAULT_PATH) -> int:
    """Keep every certificate of the configuration until told to end."""
    if not system.SERVES:
        raise AgentError(PLATFORM, "troth agent run")
    asyncio.run(_run(_opened(config)))
    return 0


@app.command
def once(*, config: Config = configuration.DEFAULT_PATH) -> int:
    """Do what is due now, and end. Exit code 1 if a certificate is missing or something failed."""
    return 0 if asyncio.run(_once(_opened(config))) else 1


@app.command
def check(*, config: Config = configuration.DEFAULT_PATH, output: Output = "text") -> int:
    """Say whether the configuration is good, on any machine and on this one. Exit code 1 if something is wrong."""
    read = configuration.load(config)
    found = list(configuration.troubles(read))
    if output == "json":
        as_json({"certificates": sorted(read.certificate), "troubles": found})
    else:
        for trouble in found:
            print(f"✗ {plain(trouble)}")
        count = len(read.certificate)
        print(f"{config} asks for {count} certificate{'' if count == 1 else 's'}; {len(found)} troubles here.")
    return 1 if found else 0


@app.command
def status(*, config: Config = configuration.DEFAULT_PATH, output: Output = "text") -> int:
    """Say how every certificate is. Exit code 1 if one is missing, has ended or will end unrenewed."""
    read = configuration.load(config)
    found = asyncio.run(ask(_socket(read), "status"))
    if found is None:
        looked_at = Agent(read, StateDirectory(Path(read.agent.state), hold=False), SystemClock())
        found = msgspec.to_builtins(looked_at.report(running=False))
    if output == "json":
        as_json(found)
    else:
        _show(found)
    return 1 if any(one["state"] in ("absent", "ending", "ended") for one in found["certificates"]) else 0


@app.command
def renew(name: Name, *, config: Config = configuration.DEFAULT_PATH, output: Output = "text") -> int:
    """Renew a certificate now, or try again now what failed; wait until it is served."""
    return _told(_act(config, "renew", name), output)


@app.command(name="roll-back")
def roll_back(name: Name, *, config: Config = configuration.DEFAULT_PATH, output: Output = "text") -> int:
    """Have the service use the certificate before. It is renewed when you say so, or when its end is near."""
    return _told(_act(config, "roll-back", name), output)


@app.command(name="install-unit")
def install_unit(
    *,
    config: Config = configuration.DEFAULT_PATH,
    write: Annotated[
        Path | None, Parameter(help=f"Where to write it; for instance /etc/systemd/system/{NAME}.")
    ] = None,
) -> int:
    """Print the systemd unit for this configuration, or write it."""
    if not system.SERVES:
        raise AgentError(PLATFORM, "troth agent install-unit")
    read = configuration.load(config)
    text, lost = unit(read, config.absolute(), _command()), hidden(read)
    why = f"{', '.join(lost)}: the unit has a /tmp of its own (PrivateTmp=yes), where nobody else finds what is written"
    if write is None:
        print(text, end="")
        if lost:
            print(f"! {why}; choose paths elsewhere.", file=sys.stderr)
        return 0
    if lost:
        raise AgentError(CONFIG, why)
    disk.write(write, text.encode(), mode=0o644)
    print(f"Written. Next: systemctl daemon-reload && systemctl enable --now {write.name}")
    return 0


def _opened(path: Path) -> Agent:
    read = configuration.load(path)
    sys.stderr = Console(sys.stderr)
    logging.configure(role="agent", level=read.agent.log_level)
    return Agent(read, StateDirectory(Path(read.agent.state)), SystemClock())


async def _run(agent: Agent) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await agent.run(stop, Notifier(os.environ))


async def _once(agent: Agent) -> bool:
    return await agent.once()


def _act(path: Path, do: str, name: str) -> Any:
    read = configuration.load(path)
    found = asyncio.run(ask(_socket(read), do, name))
    if found is not None:
        return found
    logging.configure(role="agent", level="warning")
    state = StateDirectory(Path(read.agent.state))
    try:
        return msgspec.to_builtins(asyncio.run(Agent(read, state, SystemClock()).answer(do, name)))
    finally:
        state.close()


def _socket(read: configuration.AgentConfig) -> Path:
    return Path(read.agent.state) / "control"


def _command() -> str:
    """How this ``troth`` is called, as a unit's ExecStart= takes it."""
    found = shutil.which(sys.argv[0]) or shutil.which("troth")
    return str(Path(found).absolute()) if found and Path(found).name == "troth" else f"{sys.executable} -m troth"


def _told(found: Any, output: Output) -> int:
    if output == "json":
        return as_json(found)
    facts((
        ("certificate", found["name"]), ("state", found["state"]), ("generation", found["generation"]),
        ("serial", found["serial"]), ("ends", when(found["not_after"])), ("renewed", when(found["renew_at"])),
        ("why then", found["why"]),
    ))  # fmt: skip
    return 0


def _show(found: Any) -> None:
    rows = [
        (
            f"{_MARKS[one['state']]} {one['name']}", one["state"], one["generation"] or None, when(one["not_after"]),
            when(one["renew_at"]), one["staple"]["status"] if one["staple"] else None,
        )
        for one in found["certificates"]
    ]  # fmt: skip
    head = ("certificate", "state", "generation", "ends", "renewed", "staple")
    table(head, rows, empty="The configuration asks for no certificate.")
    for one in found["certificates"]:
        for kind, of in (("", one), (" (staple)", one["staple"] or {})):
            if of.get("trouble"):
                trouble = of["trouble"]
                print(f"  {one['name']}{kind}: {plain(trouble['detail'])} [{trouble['code']}], "
                      f"{of['failures']} in a row, last {when(trouble['at'])}")  # fmt: skip
    for name, service in found["services"].items():
        print(f"  {name}: {', '.join(f'{key} {plain(value)}' for key, value in service.items())}")
    if not found["running"]:
        print("No agent runs on this directory; this is what the last one left.")
