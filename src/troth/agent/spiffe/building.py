"""The service, if the configuration has it and the extra is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.agent.errors import CONFIG, AgentError

if TYPE_CHECKING:
    from troth.agent.services import Host, Service


def build(host: Host) -> Service | None:
    """The service, where the configuration has ``[spiffe]``. Raises AgentError without the extra."""
    if host.config.spiffe is None:
        return None
    try:
        # Here and not above: an agent without this table needs no HTTP/2.
        from troth.agent.spiffe.service import SpiffeService
    except ModuleNotFoundError as error:
        raise AgentError(CONFIG, f"[spiffe] needs {error.name}: pip install 'troth[spiffe]'") from error
    return SpiffeService(host, host.config.spiffe)
