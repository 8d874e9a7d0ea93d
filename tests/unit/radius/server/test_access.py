"""From an Access-Request to what is sent: real TLS over real sockets, with a judge that does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.radius_devices import Supplicant, Version, client_context
from tests.support.radius_house import SECRET, House, Judge, Papers, admitted
from tests.support.radius_load import Device, Load, Manner, Outcome
from troth.radius.admission.errors import NETWORK_NONE
from troth.radius.admission.model import Verdict
from troth.trust import model
from troth.trust.errors import JOURNAL_UNWRITABLE, JournalError

VERSIONS: tuple[Version, ...] = ("1.2", "1.3")
Serve = Callable[..., House]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Certificates for this module's tests."""
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture
async def serve(papers: Papers, tmp_path: Path) -> AsyncIterator[Serve]:
    """Make a house."""
    houses: list[House] = []

    def make(**more: object) -> House:
        houses.append(House(tmp_path, papers.contexts(), **more))  # type: ignore[arg-type]
        return houses[-1]

    yield make
    for house in houses:
        await house.close()


async def _run(
    house: House, papers: Papers, version: Version, count: int, manner: Manner | None = None, *, stations: int = 4,
    names: tuple[str, ...] = ("one.corp.test", "two.corp.test"),
) -> Outcome:  # fmt: skip
    devices = [
        Device(context=client_context(papers.issue(name), papers.root, version), identity=name.encode())
        for name in names
    ]

    def load() -> Outcome:
        with Load(house.address, SECRET, devices, stations=stations, manner=manner) as running:
            if manner is not None and manner.resume:
                running.run(2 * stations)
            return running.run(count)

    return await asyncio.to_thread(load)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "manner",
    [
        Manner(),
        Manner(resume=True),
        Manner(fragment=150, mtu=300, twice=0.3, proxy_state=True),
        Manner(ports=1, roam=True, resume=True),
    ],
    ids=["full", "resumed", "fragments", "one-port"],
)
async def test_a_device_is_let_in_and_has_the_keys_that_its_access_server_was_given(
    serve: Serve, papers: Papers, version: Version, manner: Manner
) -> None:
    house = serve()
    outcome = await _run(house, papers, version, 20, manner)

    assert (outcome.accepted, outcome.cheats) == (20, {})
    assert outcome.resumed == (20 if manner.resume else 0)
    if manner.twice:
        again = sum(number for (_, what), number in house.workers[0].desk.counted.items() if what == "duplicate")
        assert again > 0
        assert len(house.judge.asked) == 20


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_resumed_session_is_judged_like_any_other(serve: Serve, papers: Papers, version: Version) -> None:
    house = serve()
    await _run(house, papers, version, 8, Manner(resume=True))
    resumed = [one for one in house.judge.asked if one.facts is not None and one.facts.resumed]
    assert len(resumed) >= 8
    assert {one.facts.sha256 for one in resumed if one.facts} == {
        one.facts.sha256 for one in house.judge.asked if one.facts
    }

    house.judge.rule = lambda _: Verdict(model.Outcome.DENY, "policy.denied", "the disk is not encrypted")
    outcome = await _run(house, papers, version, 8, Manner())
    assert outcome.ended == {"reject": 8}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_changes_between_the_decision_and_the_accept_counts(
    serve: Serve, papers: Papers, version: Version
) -> None:
    house = serve()
    looks: list[int] = []

    def rule(_: object) -> Verdict:
        looks.append(1)
        return admitted() if len(looks) == 1 else Verdict(model.Outcome.DENY, "certificate.held")

    house.judge.rule, house.judge.stands = rule, lambda _: False
    outcome = await _run(house, papers, version, 1, stations=1)

    assert outcome.ended == {"reject": 1}
    assert [verdict.outcome.value for _, verdict, _ in house.judge.recorded] == ["allow", "deny"]
    assert house.accepts == []
    ((first, admitted_as), (second, withdrawn_as)) = house.judge.noted
    assert (first, second, admitted_as) == ("admitted", "withdrawn", withdrawn_as)


async def test_a_change_that_still_lets_in_is_written_down_before_the_accept(serve: Serve, papers: Papers) -> None:
    house = serve()
    verdicts = [admitted(), admitted(model.Outcome.QUARANTINE)]
    house.judge.rule = lambda _: verdicts[len(house.judge.recorded)]
    house.judge.stands = lambda _: len(house.judge.recorded) == 2
    outcome = await _run(house, papers, "1.3", 1, stations=1)

    assert outcome.accepted == 1
    assert [verdict for _, verdict, _ in house.judge.recorded] == verdicts
    assert [verdict for _, verdict in house.accepts] == verdicts[1:]


async def test_what_is_not_settled_when_the_accept_would_leave_is_asked_again(serve: Serve, papers: Papers) -> None:
    house = serve()
    verdicts = [admitted(), None, admitted()]
    house.judge.rule = lambda _: verdicts[len(house.judge.asked) - 1]
    house.judge.stands = lambda _: len(house.judge.asked) == 3
    outcome = await _run(house, papers, "1.3", 1, stations=1)

    assert outcome.ended == {"accept": 1}


async def test_nobody_is_let_in_on_what_could_not_be_written_down(serve: Serve, papers: Papers) -> None:
    house = serve()
    house.judge.fails = JournalError(JOURNAL_UNWRITABLE, "the disk is full")
    outcome = await _run(house, papers, "1.3", 2, Manner(timeout=0.2, tries=1), stations=2)

    assert outcome.ended == {"timeout": 2}
    assert house.accepts == []


async def test_what_is_not_settled_is_not_answered_and_asked_again(serve: Serve, papers: Papers) -> None:
    house = serve()
    house.judge.rule = lambda _: None
    outcome = await _run(house, papers, "1.2", 1, Manner(timeout=0.2, tries=1), stations=1)

    assert outcome.ended == {"timeout": 1}


async def test_without_network_nobody_is_let_in_and_it_is_told_why(serve: Serve, papers: Papers) -> None:
    house = serve()
    house.network = None
    outcome = await _run(house, papers, "1.3", 2)

    assert outcome.ended == {"reject": 2}
    assert {verdict.reason for _, verdict, _ in house.judge.recorded} == {NETWORK_NONE.code}


async def test_a_certificate_for_servers_is_refused_by_tls_and_told_in_the_timeline(
    serve: Serve, papers: Papers
) -> None:
    house = serve()
    credential = papers.issue("server.corp.test", ExtendedKeyUsageOID.SERVER_AUTH)
    device = Device(context=client_context(credential, papers.root, "1.3"))
    eap, judge, open_then = house.workers[0].eap, house.judge, list[int]()

    async def record(*told: Any, **more: Any) -> None:
        open_then.append(eap.open)
        await Judge.record(judge, *told, **more)

    judge.record = record  # type: ignore[method-assign]

    def load() -> Outcome:
        with Load(house.address, SECRET, [device], stations=1) as running:
            return running.run(1)

    outcome = await asyncio.to_thread(load)
    assert outcome.ended == {"reject": 1}
    ((_, verdict, timeline),) = judge.recorded
    assert verdict.reason == "radius.tls.wrong_purpose"
    assert timeline
    assert judge.asked == []
    assert open_then == [1], "it is kept when the alert is sent, and not when the device has acknowledged it"


async def test_a_device_that_breaks_off_after_the_decision_has_no_session(serve: Serve, papers: Papers) -> None:
    house = serve()
    credential = papers.issue("one.corp.test")
    context = client_context(credential, papers.root, "1.3")

    class BreaksOff(Supplicant):
        def answer(self, request: bytes) -> bytes:
            said = super().answer(request)
            if not self._committed:
                return said
            alert = b"\x15\x03\x03\0\2\2\x28"  # where our last flight is to be acknowledged
            return said[:2] + (6 + len(alert)).to_bytes(2, "big") + b"\x0d\0" + alert

    def load() -> None:
        with Load(house.address, SECRET, [Device(context=context)], stations=1) as running:
            running.once(BreaksOff(context, b"one.corp.test"))

    await asyncio.to_thread(load)
    assert [verdict.outcome.value for _, verdict, _ in house.judge.recorded] == ["allow", "deny"]
    assert [word for word, _ in house.judge.noted] == ["admitted", "withdrawn"]
    assert house.accepts == []


async def test_an_accept_says_who_how_long_and_where(serve: Serve, papers: Papers) -> None:
    house = serve()
    seen: list[list[tuple[int, bytes]]] = []
    device = Device(context=client_context(papers.issue("who.corp.test"), papers.root, "1.3"))

    def load() -> None:
        with Load(
            house.address, SECRET, [device], stations=1, watch=lambda one: seen.append(one.attributes)
        ) as running:
            running.run(1)

    await asyncio.to_thread(load)
    ((attributes),) = seen
    told = dict(attributes)
    assert told[1] == b"laptop-17"
    assert told[25] == house.accepts[0][1].class_
    assert told[27] == (3600).to_bytes(4, "big")
    assert told[29] == (1).to_bytes(4, "big")
    assert (told[64], told[65], told[81]) == (b"\0\0\0\x0d", b"\0\0\0\x06", b"100")


# --- several workers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_port_of_one_access_server_is_shared_by_two_workers(
    serve: Serve, papers: Papers, version: Version
) -> None:
    house = serve(workers=2, reading=[0])
    outcome = await _run(house, papers, version, 60, Manner(ports=1), stations=12)
    assert outcome.accepted == 60

    outcome = await _run(house, papers, version, 60, Manner(ports=1, resume=True), stations=12)
    assert (outcome.accepted, outcome.resumed) == (60, 60)
    begun = [worker.traffic.begun for worker in house.workers]
    assert 0.4 < begun[0] / sum(begun) < 0.6


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_kernel_that_is_told_shares_one_port_evenly_and_nothing_is_handed_over(
    serve: Serve, papers: Papers, version: Version
) -> None:
    house = serve(workers=2, steered=True)
    outcome = await _run(house, papers, version, 120, Manner(ports=1, twice=0.2, proxy_state=True), stations=8)

    assert (outcome.accepted, outcome.cheats) == (120, {})
    begun = [worker.traffic.begun for worker in house.workers]
    assert 0.3 < begun[0] / sum(begun) < 0.7
    assert [worker.traffic.counted["handed_over"] for worker in house.workers] == [0, 0]


async def test_what_begins_while_a_place_is_empty_goes_to_whoever_lives(serve: Serve, papers: Papers) -> None:
    house = serve(workers=2, steered=True)
    house.remove(house.workers[1])
    outcome = await _run(house, papers, "1.3", 20, Manner(ports=1, timeout=30.0))
    assert (outcome.accepted, outcome.ended) == (20, {"accept": 20})

    house.add(1, number=9)
    outcome = await _run(house, papers, "1.3", 40, Manner(ports=1, timeout=30.0))
    assert (outcome.accepted, outcome.ended) == (40, {"accept": 40})
    assert house.workers[1].traffic.begun > 0


async def test_conversations_of_a_worker_that_dies_are_rejected_and_begin_anew_elsewhere(
    serve: Serve, papers: Papers
) -> None:
    house = serve(workers=2, reading=[0])
    died: list[int] = []
    loop = asyncio.get_running_loop()

    def rule(attempt: object) -> Verdict:
        if not died and len(house.judge.asked) == 20:
            died.append(1)
            loop.call_soon(house.remove, house.workers[1])
        return admitted()

    house.judge.rule = rule
    outcome = await _run(house, papers, "1.3", 60, Manner(ports=1, timeout=0.3, tries=200), stations=8)

    assert died
    # No more than one conversation of each station was under way there.
    assert outcome.ended["reject"] <= 8
    assert outcome.accepted == 60 - outcome.ended["reject"]
    assert outcome.cheats == {}


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_was_asked_to_start_by_a_worker_that_is_gone_is_let_in_by_another(
    serve: Serve, papers: Papers, version: Version
) -> None:
    house = serve(workers=2, reading=[0])
    gone = house.workers[1]
    house.remove(gone)
    house.workers[0].eap.begin = gone.eap.begin  # type: ignore[method-assign]
    outcome = await _run(house, papers, version, 8)

    assert (outcome.accepted, outcome.cheats) == (8, {})
    assert house.workers[0].traffic.counted["orphaned"] == 8


async def test_a_worker_that_drains_goes_on_with_what_it_has_begun(serve: Serve, papers: Papers) -> None:
    house = serve(workers=2, reading=[0])
    former = house.workers[0]
    loop = asyncio.get_running_loop()
    replaced: list[int] = []

    def rule(attempt: object) -> Verdict:
        if not replaced and len(house.judge.asked) == 15:
            replaced.append(1)

            def replace() -> None:
                former.traffic.stop_reading()
                house.add(0, number=7)

            loop.call_soon(replace)
        return admitted()

    house.judge.rule = rule
    outcome = await _run(house, papers, "1.3", 60, Manner(ports=1), stations=8)

    assert replaced
    assert (outcome.accepted, outcome.ended) == (60, {"accept": 60})
    assert former.eap.open == 0
