"""The service, if the configuration has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.agent.survey.service import SurveyService

if TYPE_CHECKING:
    from troth.agent.services import Host, Service


def build(host: Host) -> Service | None:
    """The service, where the configuration has ``[survey]``."""
    return SurveyService(host, host.config.survey) if host.config.survey is not None else None
