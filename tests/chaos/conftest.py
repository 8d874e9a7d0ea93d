"""One Troth to be killed, for all tests that kill one: a start costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.ruin import Ruin, make_ruin
from tests.support.dns import DnsServer
from tests.support.webroot import ChallengeWebRoot


@pytest.fixture(scope="session")
def ruin(tmp_path_factory: pytest.TempPathFactory, applicant: tuple[ChallengeWebRoot, DnsServer]) -> Iterator[Ruin]:
    """A running Troth with trapdoors. Tests leave it running, whatever they did to it."""
    made = make_ruin(tmp_path_factory.mktemp("ruin"), *applicant)
    made.start()
    yield made
    if made.running:
        assert made.stop() == 0, made.log()[-4000:]
