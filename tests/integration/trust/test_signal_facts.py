"""What signals left open, as the judge sees it; and a certificate that is shown, as it is recorded."""

from __future__ import annotations

from datetime import timedelta

from tests.support.signals import Trust
from troth.kit.ids import new_id
from troth.trust.decision.certificate_facts import certificate_facts
from troth.trust.model import Kind, Subject
from troth.trust.signals.facts import SignalFacts
from troth.trust.subjects.store import SubjectStore

PATHS = frozenset(
    {"signals.score", "signals.open", "signals.count", "signals.classes", "signals.newest", "posture.compliant"}
)


async def test_open_causes_are_gathered_and_cleared_ones_are_not(trust: Trust) -> None:
    await trust.feed()
    laptop, other = await trust.subject(), await trust.subject("laptop-2")
    await trust.take("edr.intrusion", laptop)
    await trust.take("mdm.noncompliant", laptop)
    await trust.take("edr.intrusion", other)
    await trust.take("edr.cleared", other)
    subjects = await SubjectStore(trust.database).by_ids([laptop, other])
    fresh = Subject(new_id(), Kind.WORKLOAD, "new", "acme", fresh=True)
    facts = SignalFacts(trust.database, trust.clock)
    seen = {(one.subject_id, one.path): one.value for one in await facts.gather((*subjects, fresh), PATHS)}
    assert seen[laptop, "signals.open"] == ["edr.intrusion", "mdm.noncompliant"]
    assert seen[laptop, "signals.classes"] == ["edr", "mdm"]
    assert (laptop, "signals.newest") in seen
    assert isinstance(seen[laptop, "signals.score"], int)
    assert seen[fresh.id, "signals.score"] == 0
    for quiet in (other, fresh.id):
        assert (seen[quiet, "signals.open"], seen[quiet, "signals.count"]) == ([], 0)
        assert (quiet, "signals.newest") not in seen
    assert await facts.gather(subjects, frozenset({"posture.compliant"})) == ()


async def test_a_certificate_is_told_by_its_record_and_its_bytes(trust: Trust) -> None:
    laptop = await trust.subject()
    record = await trust.row(await trust.certificate(laptop))
    trust.clock.advance(timedelta(days=2))
    said = certificate_facts(record, trust.clock.now())
    assert said["serial"] == record.serial.hex()
    assert (said["profile"], said["status"], said["names"]) == ("client-device", "good", ["dns:laptop.example"])
    assert "clientAuth" in said["usages"]  # type: ignore[operator]
    assert said["age"] == timedelta(days=2)
    assert said["remaining"] == record.not_after - trust.clock.now()
