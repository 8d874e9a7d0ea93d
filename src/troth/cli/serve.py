"""``troth serve``: one role in this process."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from troth.assembly import serve as assembly
from troth.assembly.layout import Layout, default_data_dir
from troth.cli.options import Data


def serve(
    *,
    role: Annotated[
        Literal["signer", "worker", "status", "radius", "web", "vantage"],
        Parameter(help="Which process to be; vantage: one that looks at names from elsewhere, and needs nothing else."),
    ],
    data: Data = None,
) -> int:
    """Run one role of Troth on its own, as a service manager or a pod does; `troth up` runs all of them."""
    if role == "vantage":
        from troth.assembly.roles.vantage import serve_vantage

        return serve_vantage(Layout.at(data or default_data_dir()))
    return assembly.serve(role, Layout.at(data or default_data_dir()))
