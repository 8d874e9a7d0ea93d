"""``troth session``: who is on the network, ending sessions, and having them judged anew."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from troth.cli.api import Api, segment
from troth.cli.options import Data, Output
from troth.cli.show import as_json, facts, listed, plain, when

app = App(
    name="session", help="Who is on the network; end sessions, or have them judged anew.", help_format="plaintext"
)

Mac = Annotated[str, Parameter(help="MAC address, in any spelling.")]
User = Annotated[str, Parameter(help="Beginning of the user's name.")]
Serial = Annotated[str, Parameter(help="Serial number of the certificate, hexadecimal.")]
SubjectId = Annotated[str, Parameter(help="Identifier of a subject: its sessions, and those of its devices.")]
Nas = Annotated[str, Parameter(help="Name of the access server.")]
Network = Annotated[str, Parameter(help="Name of the network.")]
Place = Annotated[str, Parameter(help="Name of the place.")]
Reason = Annotated[str, Parameter(help="Why; it goes to the ledger.", show_default=False)]
Session = Annotated[str, Parameter(help="Identifier of the session.")]
Yes = Annotated[
    bool, Parameter(name=["--yes", "-y"], negative="", help="Do it; without it, only say which sessions are meant.")
]
_ORDERS = ("kind", "state", "after", "station", "access server", "how it went", "id")


@app.command(name="list")
def list_(
    *,
    mac: Mac = "",
    user: User = "",
    serial: Serial = "",
    subject: SubjectId = "",
    nas: Nas = "",
    network: Network = "",
    place: Place = "",
    all: Annotated[bool, Parameter(negative="", help="Ended ones too.")] = False,
    cursor: Annotated[str, Parameter(help="Go on behind this one.")] = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List sessions, the newest first."""
    asked = _asked(mac, user, serial, subject, nas, network, place)
    asked |= {"all": "true" if all else "", "cursor": cursor, "limit": str(limit)}
    found = Api.at(data).get("/network/sessions", **{name: value for name, value in asked.items() if value})
    rows = [_row(one) for one in found["items"]]
    return listed(found, output, _HEAD, rows, empty="No session is found.")


_HEAD = ("station", "who", "network", "place", "access server", "since", "ended", "id")


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    since = when(one["started_at"] or one["opened_at"])
    ended = f"{when(one['ended_at'])} ({one['cause'] or one['ended_by']})" if one["ended_at"] else "–"
    return one["mac"], one["user_name"], one["network"] or "–", one["place"] or "–", one["nas"], since, ended, one["id"]


@app.command
def show(session: Session, *, data: Data = None, output: Output = "text") -> int:
    """Show one session, and what was done to it."""
    found = Api.at(data).get(f"/network/sessions/{segment(session)}")
    if output == "json":
        return as_json(found)
    one = found["session"]
    facts(
        [
            ("station", one["mac"]), ("who", one["user_name"]), ("state", one["state"]), ("network", one["network"]),
            ("let in", f"{one['outcome']} ({one['reason']})" if one["outcome"] else None), ("place", one["place"]),
            ("certificate", one["serial"]), ("access server", f"{one['nas']} {one['nas_address']}"),
            ("called station", one["called_station_id"]), ("address", one["framed_ip"] or one["framed_ipv6"]),
            ("accounting", one["acct_session_id"]), ("began", when(one["started_at"] or one["opened_at"])),
            ("heard of", when(one["heard_at"])), ("Session-Timeout", when(one["until"]) if one["until"] else None),
            ("ended", when(one["ended_at"]) if one["ended_at"] else None), ("ended by", one["ended_by"]),
            ("cause", one["cause"]), ("from it", f"{one['octets_in']} octets"),
            ("to it", f"{one['octets_out']} octets"),
        ]
    )  # fmt: skip
    print()
    return listed(
        found["orders"], output, _ORDERS, [_order(each) for each in found["orders"]], empty="Nothing was done."
    )


def _order(one: dict[str, Any]) -> tuple[Any, ...]:
    after = None if one["latency_ms"] is None else f"{one['latency_ms']} ms"
    kind = f"{one['kind']} ({one['step']})" if one["step"] else one["kind"]
    return kind, one["state"], after, one["station"], one["nas"], (one["detail"] or one["reason"])[:80], one["id"]


@app.command
def disconnect(
    session: Annotated[str, Parameter(help="Identifier of the session; else name which ones.")] = "",
    *,
    mac: Mac = "",
    user: User = "",
    serial: Serial = "",
    subject: SubjectId = "",
    nas: Nas = "",
    network: Network = "",
    place: Place = "",
    all: Annotated[bool, Parameter(negative="", help="Every session there is.")] = False,
    reason: Reason = "",
    yes: Yes = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """End sessions (RADIUS Disconnect); without --yes only say which ones."""
    asked = _asked(mac, user, serial, subject, nas, network, place)
    return _do("disconnect", session, asked, all, reason, yes, data, output)


@app.command
def reauthorize(
    session: Annotated[str, Parameter(help="Identifier of the session; else name which ones.")] = "",
    *,
    mac: Mac = "",
    user: User = "",
    serial: Serial = "",
    subject: SubjectId = "",
    nas: Nas = "",
    network: Network = "",
    place: Place = "",
    all: Annotated[bool, Parameter(negative="", help="Every session there is.")] = False,
    reason: Reason = "",
    yes: Yes = False,
    data: Data = None,
    output: Output = "text",
) -> int:
    """Have sessions judged anew (RADIUS CoA), or ended where that cannot be; without --yes only say which ones."""
    asked = _asked(mac, user, serial, subject, nas, network, place)
    return _do("reauthorize", session, asked, all, reason, yes, data, output)


def _asked(mac: str, user: str, serial: str, subject: str, nas: str, network: str, place: str) -> dict[str, str]:
    given = {"mac": mac, "user": user, "serial": serial, "subject": subject, "nas": nas, "network": network,
             "place": place}  # fmt: skip
    return {name: value for name, value in given.items() if value}


def _do(
    verb: Literal["disconnect", "reauthorize"],
    session: str,
    asked: dict[str, str],
    everybody: bool,
    reason: str,
    yes: bool,
    data: Data,
    output: Output,
) -> int:
    api = Api.at(data)
    if session:
        found = api.post(f"/network/sessions/{segment(session)}/{verb}", {"reason": reason})
        if output == "json":
            return as_json(found)
        print(f"Ordered. See `troth session show {plain(session)}`.")
        return 0
    body: dict[str, Any] = {"kind": verb, **asked, "all": everybody, "reason": reason}
    if not yes:
        would = api.post("/network/session-orders", {**body, "preview": True})
        if output == "json":
            return as_json(would)
        listed(would, output, _HEAD, [_row(one) for one in would["sessions"]], empty="No session is meant.")
        if not would["sessions"]:
            return 0
        more = ", and more at a pace" if would["paced"] else ""
        print(f"{len(would['sessions'])} sessions{more} are meant. Nothing was done yet: say --yes to {verb} them.")
        return 0
    done = api.post("/network/session-orders", body)
    if output == "json":
        return as_json(done)
    more = "; more follow at a pace" if done["paced"] else ""
    print(f"Ordered for {len(done['sessions'])} sessions{more}. See `troth session orders`.")
    return 0


@app.command
def orders(
    *,
    state: Annotated[
        Literal["waiting", "staged", "done", "gone", "refused", "failed", "dropped"] | None,
        Parameter(help="Only those in this state."),
    ] = None,
    cursor: Annotated[str, Parameter(help="Go on behind this one.")] = "",
    limit: int = 50,
    data: Data = None,
    output: Output = "text",
) -> int:
    """List what was to be done to sessions, the newest first."""
    asked = {"status": state or "", "cursor": cursor, "limit": str(limit)}
    found = Api.at(data).get("/network/session-orders", **{name: value for name, value in asked.items() if value})
    return listed(found, output, _ORDERS, [_order(one) for one in found["items"]], empty="Nothing was ordered.")


@app.command
def approve(
    order: Annotated[str, Parameter(help="Identifier of a staged order.")],
    *,
    reason: Reason = "",
    data: Data = None,
) -> int:
    """Let what a cap has staged be done, on your responsibility."""
    Api.at(data).post(f"/network/session-orders/{segment(order)}/approve", {"reason": reason})
    print("It is done next.")
    return 0


@app.command
def drop(
    order: Annotated[str, Parameter(help="Identifier of a staged order.")],
    *,
    reason: Reason = "",
    data: Data = None,
) -> int:
    """Drop what a cap has staged."""
    Api.at(data).post(f"/network/session-orders/{segment(order)}/drop", {"reason": reason})
    print("It is dropped.")
    return 0
