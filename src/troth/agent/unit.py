"""The systemd unit of the agent, hardened, with the paths that its configuration writes opened and no others."""

from __future__ import annotations

import shlex
from pathlib import Path

from troth.agent.config import AgentConfig
from troth.agent.settings import WebRoot

NAME = "troth-agent.service"

#: It runs as root: it gives keys to their owners and reloads services. So it is held to what that takes. A hook runs
#: inside the same walls; one that writes elsewhere needs a drop-in with ReadWritePaths=.
#: Below which the unit has directories of its own (systemd.exec(5), PrivateTmp=).
_PRIVATE = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 -- nothing is written there

_UNIT = """\
[Unit]
Description=Troth host agent: certificates of this host
Documentation=man:systemd.exec(5)
Wants=network-online.target
After=network-online.target nss-lookup.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} agent run --config {config}
Restart=always
RestartSec=5
WatchdogSec=120
TimeoutStopSec=30
StateDirectory={state}
StateDirectoryMode=0711
RuntimeDirectory=troth-agent
RuntimeDirectoryMode=0755
UMask=0077
{paths}ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=default
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
RemoveIPC=yes
DevicePolicy=closed
DeviceAllow=/dev/tpmrm0 rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_NET_BIND_SERVICE CAP_KILL CAP_SYS_PTRACE{more}
MemoryMax=512M
TasksMax=128

[Install]
WantedBy=multi-user.target
"""


def unit(config: AgentConfig, config_path: Path, command: str) -> str:
    """The unit's text. ``command`` is how ``troth`` is called here."""
    state = Path(config.agent.state)
    standard = state.parent == Path("/var/lib")
    written = {Path(path).parent for path in _written(config)} | (set() if standard else {state})
    paths = "".join(f"ReadWritePaths={_quoted(f'-{path}')}\n" for path in sorted(written))
    return _UNIT.format(
        command=command,
        config=_quoted(str(config_path)),
        state=state.name if standard else "troth-agent",
        paths=paths,
        # The kernel shows its packet filter to nobody else.
        more=" CAP_NET_ADMIN" if config.survey is not None else "",
    )


def hidden(config: AgentConfig) -> list[str]:
    """What the unit's PrivateTmp= would have lie where neither a server nor the next start finds it."""
    found = (config.agent.state, *_written(config))
    return [one for one in found if any(Path(one).resolve().is_relative_to(private) for private in _PRIVATE)]


def _written(config: AgentConfig) -> list[str]:
    """Every path outside its own directory that the agent writes."""
    found = [config.agent.metrics_file] if config.agent.metrics_file else []
    for certificate in config.certificate.values():
        found += [output.path for output in certificate.output]
        if certificate.staple:
            found.append(certificate.staple.path)
        if isinstance(certificate.challenge, WebRoot):
            found.append(f"{certificate.challenge.path}/.well-known")
    if config.spiffe is not None and not config.spiffe.socket.startswith("/run/troth-agent/"):
        found.append(config.spiffe.socket)
    return found


def _quoted(text: str) -> str:
    """As one word of a unit: ``%`` begins a specifier there."""
    return shlex.quote(text.replace("%", "%%")) if text else '""'
