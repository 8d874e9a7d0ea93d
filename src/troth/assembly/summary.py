"""What ``troth up`` says once it is ready: the same for a person and for a program."""

from __future__ import annotations

from pathlib import Path

import msgspec

from troth.assembly.datagrams import ACCOUNTING, AUTHENTICATION, is_on
from troth.assembly.firststart import Start
from troth.radius.identity.naming import server_name


class RadiusSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where RADIUS answers.

    Attributes:
        auth_port, acct_port: UDP; None where nothing is answered over it.
        secret_file: what this machine itself asks with, made at the first start; empty where it is not there.
        server_name: what devices are to expect in the server's certificate.
        radsec: where RadSec is answered, as configured; empty: nowhere.
    """

    auth_port: int | None
    acct_port: int | None
    secret_file: str
    server_name: str
    radsec: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of ``troth up --output json``.

    Attributes:
        acme_directories: name → URL, as the configuration has them.
        est_url: where EST clients begin; empty where it is off.
        root_certificate: path of the root's PEM file, to be trusted by clients.
        admin_token_file: path of the first administrator's bootstrap token; gone once it has been used.
        radius: None where it is off.
    """

    https_url: str
    http_url: str
    admin_url: str
    acme_directories: dict[str, str]
    root_certificate: str
    admin_token_file: str
    data_dir: str
    est_url: str = ""
    radius: RadiusSummary | None = None

    def json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self).decode()


def summarize(start: Start) -> Summary:
    """The summary of a Troth that is ready."""
    state, layout = start.state, start.layout
    return Summary(
        https_url=state.public_url,
        http_url=state.public_http_url,
        admin_url=state.admin_url,
        acme_directories={name: f"{state.public_url}/acme/{name}/directory" for name in start.config.acme.directories},
        root_certificate=str(layout.root_certificate),
        admin_token_file=str(layout.admin_token),
        data_dir=str(layout.root),
        est_url=f"{state.public_url}/.well-known/est" if start.config.est.enabled else "",
        radius=_radius(start) if is_on(start.config) else None,
    )


def _radius(start: Start) -> RadiusSummary:
    secret, config = start.layout.radius_secret, start.config
    # What the state remembers of ports is no sign that there are any.
    udp = start.state.listeners if config.radius.listen else {}
    return RadiusSummary(
        auth_port=udp[AUTHENTICATION].port if udp else None,
        acct_port=udp[ACCOUNTING].port if udp else None,
        secret_file=str(secret) if secret.exists() else "",
        server_name=server_name(config.radius.server_name, config.pki.radius_names, start.state.public_url),
        radsec=config.radsec.listen,
    )


def _log_in(summary: Summary) -> str:
    token = Path(summary.admin_token_file)
    return f"the token in {token}, once" if token.exists() else "your account"


def _radius_rows(radius: RadiusSummary | None) -> list[tuple[str, str]]:
    if radius is None:
        return []
    ways = [f"UDP ports {radius.auth_port} and {radius.acct_port} (accounting)"] if radius.auth_port else []
    ways += [f"TLS at {radius.radsec}"] if radius.radsec else []
    rows = [("RADIUS", f"{', '.join(ways)}, as {radius.server_name}")]
    return [*rows, ("", f"this machine's secret is in {radius.secret_file}")] if radius.secret_file else rows


def render(summary: Summary) -> str:
    """The summary in words."""
    rows = [
        *(("ACME" if not place else "", url) for place, url in enumerate(summary.acme_directories.values())),
        *((("EST", summary.est_url),) if summary.est_url else ()),
        ("OCSP and CRL", summary.http_url),
        *_radius_rows(summary.radius),
        ("Dashboard", summary.admin_url),
        ("Root certificate", summary.root_certificate),
        ("", "trust it in your browser or system (docs/quickstart.md), or per command: curl --cacert …"),
        ("Log in with", _log_in(summary)),
        ("Data", summary.data_dir),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label.ljust(width)}  {value}" for label, value in rows]
    return "\n".join(["", "Troth is ready.", "", *lines, "", "Ctrl-C stops it."])
