"""``troth vantage``: places elsewhere from which control of a name is looked at."""

from __future__ import annotations

from cyclopts import App

from troth.assembly.layout import Layout, default_data_dir
from troth.assembly.vantages import greeted, key_of
from troth.cli.options import Data, Output
from troth.cli.show import as_json, table
from troth.kit.clock import SystemClock

app = App(name="vantage", help="Places elsewhere from which names are looked at.", help_format="plaintext")


@app.command
def key(*, data: Data = None, output: Output = "text") -> int:
    """Print the digest of this data directory's key towards the other side; it is made if there is none.

    Troth's goes into `vantage.asked_by` of each vantage, a vantage's into `acme.vantages.NAME.key` of Troth.
    """
    own = key_of(Layout.at(data or default_data_dir()))
    if output == "json":
        return as_json({"key": own.pin})
    print(own.pin)
    return 0


@app.command
def check(*, data: Data = None, output: Output = "text") -> int:
    """Ask every vantage elsewhere whether it is there, holds its key and answers us; 1 if one does not."""
    clock = SystemClock()
    found = greeted(Layout.at(data or default_data_dir()), clock)
    now = clock.now().timestamp()
    told = [
        {"vantage": name, "answers": False, "detail": one}
        if isinstance(one, str)
        else {"vantage": name, "answers": True, "version": one.version, "clock_ahead_seconds": round(one.at - now)}
        for name, one in found.items()
    ]
    good = all(one["answers"] for one in told)
    if output == "json":
        as_json({"vantages": told})
        return 0 if good else 1
    rows = [
        (one["vantage"], one["answers"], one.get("version"), one.get("clock_ahead_seconds"), one.get("detail"))
        for one in told
    ]
    head = ("vantage", "answers", "version", "clock ahead (s)", "what is wrong")
    table(head, rows, empty="No vantage elsewhere is configured: [acme.vantages.NAME] with url and key.")
    return 0 if good else 1
