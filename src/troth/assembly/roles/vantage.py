"""A vantage point: it looks at names from where it stands, for a Troth elsewhere. No database, no signer, no state."""

from __future__ import annotations

import asyncio
import signal

import uvloop

from troth.assembly.errors import VANTAGE_OPEN, AssemblyError
from troth.assembly.layout import Layout
from troth.assembly.listeners import bound
from troth.assembly.roles.common import LIVEZ, internal_error
from troth.assembly.serve import configure_log
from troth.assembly.vantages import key_of
from troth.client.pinned import PinnedKey
from troth.enroll.acme.validate.network import listener
from troth.enroll.acme.validate.validator import build_validator
from troth.enroll.acme.vantage.door import VantageDoor
from troth.enroll.acme.vantage.wire import pins
from troth.kit import config as configuration
from troth.kit.clock import SystemClock
from troth.kit.lane import Lane
from troth.kit.log import get_logger
from troth.kit.settings import Config
from troth.web.server import Listening, serve
from troth.web.tls import ServerTls

log = get_logger("assembly")


def serve_vantage(layout: Layout) -> int:
    """Be a vantage until told to stop; the process's exit code. Raises TrothError before it has begun."""
    config = configuration.load(layout.root)
    configure_log("vantage", config.log)
    if not config.vantage.asked_by:
        raise AssemblyError(VANTAGE_OPEN, f"vantage.asked_by in {layout.config_file} is empty")
    key = key_of(layout)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, key))


async def _serve(config: Config, key: PinnedKey) -> int:
    loop, stop, clock = asyncio.get_running_loop(), asyncio.Event(), SystemClock()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = bound(config.vantage.listen)
    host, port = sockets[0].getsockname()[:2]
    own = [address for one in sockets for address in listener(*one.getsockname()[:2])]
    door = VantageDoor(
        build_validator(config.acme, own_listeners=own),
        clock,
        own=key.pin,
        askers=pins(config.vantage.asked_by),
        at_once=config.vantage.at_once,
    )
    lane = Lane([*door.routes(), LIVEZ], on_error=internal_error)
    listening = Listening(app=lane, sockets=sockets, tls=ServerTls(key.path))
    await serve([listening], stop=stop, ready=lambda: log.info("vantage.ready", host=host, port=port, key=key.pin))
    log.info("vantage.stopped")
    return 0
