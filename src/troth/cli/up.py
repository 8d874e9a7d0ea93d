"""``troth up``: a whole Troth on this machine."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from cyclopts import Parameter

from troth.assembly import summary
from troth.assembly.layout import Layout, default_data_dir
from troth.assembly.progress import Progress
from troth.assembly.serve import configure_log
from troth.assembly.supervisor import Supervisor
from troth.cli.options import Data, Output
from troth.kit import config as configuration
from troth.kit.clock import SystemClock


def up(
    *,
    data: Data = None,
    https: Annotated[
        str, Parameter(help="HOST:PORT for ACME and signals; port 0 takes a free one.", show_default=False)
    ] = "",
    http: Annotated[str, Parameter(help="HOST:PORT for OCSP, CRLs and CA certificates.", show_default=False)] = "",
    admin: Annotated[str, Parameter(help="HOST:PORT for the dashboard and the API.", show_default=False)] = "",
    radius: Annotated[
        str,
        Parameter(
            help="HOST:PORT for RADIUS over UDP, accounting at the next port; port 0 takes free ones.",
            show_default=False,
        ),
    ] = "",
    output: Output = "text",
) -> int:
    """Start everything and serve until Ctrl-C: the database, the signer, ACME, OCSP, RADIUS, the dashboard.

    With `--output json`, one JSON object on standard output says where everything is, once all of it answers.
    """
    # What the command line says reaches every process as settings, by the one way that settings have.
    environ = dict(os.environ)
    for key, value in (("https", https), ("http", http), ("admin", admin)):
        if value:
            environ[f"TROTH__LISTEN__{key.upper()}"] = value
    if radius:
        environ["TROTH__RADIUS__LISTEN"] = radius
    layout = Layout.at(data or default_data_dir())
    config = configuration.load(layout.root, environ)
    configure_log("supervisor", config.log)
    clock = SystemClock()
    progress = Progress(clock)

    def announce(ready: summary.Summary) -> None:
        if output == "json":
            print(ready.json(), flush=True)
        else:
            progress.tell(summary.render(ready))

    supervisor = Supervisor(
        layout=layout, config=config, clock=clock, progress=progress, environ=environ, announce=announce
    )
    asyncio.run(supervisor.run())
    return 0
