"""The solver that a certificate's configuration asks for."""

from __future__ import annotations

from pathlib import Path

from troth.agent import system
from troth.agent.errors import PLATFORM, AgentError
from troth.agent.settings import ChallengeSettings, DnsHook, ListenHttp, ListenTls, WebRoot, kind_of
from troth.agent.solvers.dns01 import DnsHookSolver
from troth.agent.solvers.http01 import HttpListeners, HttpSolver, WebRootSolver
from troth.agent.solvers.model import Solver
from troth.agent.solvers.tlsalpn01 import TlsListeners, TlsSolver
from troth.kit.clock import Clock


class Solvers:
    """Solvers, and the listeners that they share."""

    def __init__(self, clock: Clock) -> None:
        self._http = HttpListeners()
        self._tls = TlsListeners(clock)

    def make(self, settings: ChallengeSettings) -> Solver:
        """The solver of ``settings``. Raises AgentError for one that this system cannot have."""
        if isinstance(settings, WebRoot | ListenTls) and not system.SERVES:
            raise AgentError(PLATFORM, f"the challenge {kind_of(settings)}")
        match settings:
            case WebRoot():
                return WebRootSolver(Path(settings.path))
            case ListenHttp():
                return HttpSolver(self._http, settings.address, settings.port)
            case ListenTls():
                return TlsSolver(self._tls, settings.address, settings.port)
            case DnsHook():
                return DnsHookSolver(settings)
