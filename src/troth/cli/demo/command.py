"""The ``troth demo`` command: finds the running Troth, and plays the walk or takes it away."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from troth.assembly import state
from troth.assembly.layout import Layout, default_data_dir
from troth.audit.verify import verify_export
from troth.cli.api import Api
from troth.cli.demo.cleaning import TakenAway, clean
from troth.cli.demo.doors import Doors
from troth.cli.demo.errors import NOT_AS_TOLD, DemoError
from troth.cli.demo.feeds import Feed, feeds_of
from troth.cli.demo.story import Story
from troth.cli.demo.walk import Told, Walk
from troth.cli.errors import UNREACHABLE
from troth.cli.options import Data, Output
from troth.client.transport import Transport, trusting
from troth.kit import config as configuration
from troth.kit.clock import SystemClock


def demo(
    *,
    pace: Annotated[float, Parameter(help="Length of the pauses: 0.5 is twice as fast, 2 half as fast.")] = 1.0,
    fast: Annotated[bool, Parameter(help="No pauses.", negative="")] = False,
    clean: Annotated[bool, Parameter(help="Take away what the demonstration made.", negative="")] = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Play the walk of one living certificate on a running Troth, with an invented fleet of forty devices.

    It uses the doors that anybody has: the API, ACME, OCSP, the signed webhook. It may be run any number of times.
    With `--output json` the story goes to standard error, and one JSON object says what was made and measured.
    """
    layout = Layout.at(data or default_data_dir())
    known = state.read(layout.state_file)
    if known is None:
        raise DemoError(UNREACHABLE, f"{layout.root} holds no Troth")
    stage = _Stage(layout, known, pace=0 if fast else max(pace, 0), quiet=output == "json")
    told = asyncio.run(stage.take_away() if clean else stage.play())
    if output == "json":
        print(msgspec.json.encode(told).decode())
    return 0


class _Stage:
    """Everything that the walk needs, on one Troth."""

    def __init__(self, layout: Layout, known: state.State, *, pace: float, quiet: bool) -> None:
        self._layout = layout
        self._known = known
        self._clock = SystemClock()
        self._doors = Doors(Api(layout.admin_socket))
        self._story = Story(known.admin_url, pace=pace, stream=sys.stderr if quiet else sys.stdout)

    async def play(self) -> Told:
        """The walk, from the beginning."""
        self._introduce()
        await self._story.beat()
        async with self._transport() as transport:
            told = await Walk(
                doors=self._doors,
                story=self._story,
                clock=self._clock,
                transport=transport,
                directory=f"{self._known.public_url}/acme/tls-server/directory",
                challenge_port=configuration.load(self._layout.root).acme.http_port,
                make_feeds=lambda: self._feeds(transport),
                verify=self._verify,
            ).run()
        self._story.aside(
            f"\nLeft for you to look at: {told.devices} devices with their certificates, {told.quarantined} of them on "
            f"hold, and {told.staged} actions that wait for your decision."
        )
        self._story.aside("`troth demo` may be run again; `troth demo --clean` takes it all away.")
        return told

    async def take_away(self) -> TakenAway:
        """Everything that :meth:`play` has made."""
        async with self._transport() as transport:
            return await clean(self._doors, self._story, self._clock, lambda: self._feeds(transport))

    def _introduce(self) -> None:
        self._story.aside("One living certificate, from its birth to the proof of all that happened to it.")
        self._story.aside(f"Keep the dashboard open beside this: {self._known.admin_url}")
        if self._layout.admin_token.exists():
            self._story.aside(f"The first log-in needs the token in {self._layout.admin_token}")

    def _transport(self) -> Transport:
        return Transport(trusting(str(self._layout.root_certificate)), user_agent="troth-demo")

    def _feeds(self, transport: Transport) -> Mapping[str, Feed]:
        secrets = self._doors.feed_secrets()
        return feeds_of(secrets, url=self._known.public_url, transport=transport, clock=self._clock)

    def _verify(self) -> int:
        """Take the ledger away and prove it, as ``troth audit export`` and ``troth audit verify`` do."""
        with tempfile.TemporaryDirectory(prefix="troth-demo-") as directory:
            path = Path(directory) / "ledger.jsonl"
            with path.open("wb") as file:
                file.writelines(self._doors.ledger())
            report = verify_export(path)
        if not report.proved:
            raise DemoError(NOT_AS_TOLD, "; ".join(fault for _, fault in report.faults))
        return report.events
