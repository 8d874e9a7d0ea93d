"""What runs beside the certificates: the SPIFFE Workload API, reports.

A service is made from its own table of the configuration by a function in :data:`BUILDERS`; a table that is not there
makes none. The supervisor runs each in a task of its own until it is told to stop, starts one that failed again
after a pause that grows, and shows its state in ``troth agent status``. A service that fails does not touch the
certificates or another service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from troth.agent.config import AgentConfig
from troth.agent.door.client import Identity
from troth.agent.spiffe import building as spiffe
from troth.agent.survey import building as survey
from troth.client.transport import Transport
from troth.kit.clock import Clock


class Service(Protocol):
    """Something that runs as long as the agent does."""

    @property
    def name(self) -> str: ...

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. What it raises is logged, shown, and followed by a new start."""
        ...

    def status(self) -> Mapping[str, object]:
        """What ``troth agent status`` shows of it: plain values, no secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """What a service is given.

    Attributes:
        state: a directory of its own below the agent's state, by the service's name; it makes it when it needs it.
        installed: of each certificate, the directory of the generation that is served now: ``leaf.pem``,
            ``chain.pem`` and, where the key is a file, ``key.pem``. A name without a certificate yet is not in it.
        identity: of a certificate by its name, with its key wherever that is held. Blocks; raises AgentError.
        transport: of each issuer of the configuration, by its name: trusts what the issuer's ``trust`` says.
    """

    config: AgentConfig
    clock: Clock
    state: Callable[[str], Path]
    installed: Callable[[], Mapping[str, Path]]
    identity: Callable[[str], Identity]
    transport: Callable[[str], Transport]


Builder = Callable[[Host], Service | None]

#: Every service there is.
BUILDERS: tuple[Builder, ...] = (spiffe.build, survey.build)


def build_services(host: Host) -> list[Service]:
    """The services that the configuration asks for."""
    return [made for build in BUILDERS if (made := build(host)) is not None]
