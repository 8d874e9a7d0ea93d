"""How the agent stands, in one word and in numbers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.agents import Workshop
from troth.agent.report import CertificateReport, metrics, report
from troth.agent.settings import CertificateSettings
from troth.agent.staples import Staple
from troth.client.errors import TRANSPORT, TransportError
from troth.kit.clock import FakeClock

DAY = timedelta(days=1)


@pytest.fixture
def workshop(tmp_path: Path, clock: FakeClock) -> Workshop:
    return Workshop(tmp_path, clock, CertificateSettings(names=("www.example.org",)))


def told(workshop: Workshop, staple: Staple | None = None) -> CertificateReport:
    keeper = workshop.keeper()
    return report("web", keeper.settings, keeper.look(), staple, workshop.clock.now(), 7)


async def test_the_life_of_a_certificate_in_words(workshop: Workshop) -> None:
    assert told(workshop).state == "absent"
    await workshop.keeper().tend()
    assert told(workshop).state == "good"
    workshop.source.fail = TransportError(TRANSPORT, "nobody is there")
    workshop.clock.advance(60 * DAY)
    await workshop.keeper().tend()
    found = told(workshop)
    assert (found.state, found.phase, found.failures) == ("failing", "keyed", 1)
    assert found.trouble is not None
    assert found.trouble.detail == "nobody is there"
    workshop.clock.advance(24 * DAY)
    assert told(workshop).state == "ending"
    workshop.clock.advance(7 * DAY)
    assert told(workshop).state == "ended"


async def test_of_a_certificate_that_lives_for_hours_days_are_no_measure(workshop: Workshop) -> None:
    workshop.source.lifetime = timedelta(hours=8)
    await workshop.keeper().tend()
    workshop.source.fail = TransportError(TRANSPORT, "nobody is there")
    workshop.clock.advance(timedelta(hours=5, minutes=30))
    await workshop.keeper().tend()
    assert told(workshop).state == "failing"
    workshop.clock.advance(timedelta(hours=1))
    assert told(workshop).state == "ending"


async def test_node_exporter_reads_the_metrics(workshop: Workshop) -> None:
    now = workshop.clock.now()
    before = metrics([told(workshop)], now)
    await workshop.keeper().tend()
    staple = Staple(1, True, "good", now, now + DAY, failures=2)
    text = metrics([told(workshop, staple)], now)
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }  # fmt: skip

    assert found == {
        "troth_agent_certificate_not_after_seconds": (now + 90 * DAY).timestamp(),
        "troth_agent_certificate_renew_at_seconds": pytest.approx((now + 90 * DAY * 0.635).timestamp(), abs=1),
        "troth_agent_certificate_generation": 1,
        "troth_agent_certificate_failures": 0,
        "troth_agent_staple_until_seconds": (now + DAY).timestamp(),
        "troth_agent_staple_failures": 2,
        "troth_agent_seen_seconds": now.timestamp(),
    }
    assert "not_after" not in before
    assert 'troth_agent_certificate_generation{certificate="web"} 0' in before
