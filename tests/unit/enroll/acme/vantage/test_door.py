"""A vantage's door: whose questions it answers, and which."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.support.clocks import FakeClock
from troth.client.acme_session import sign_jws
from troth.client.jose import SigningKey
from troth.client.pinned import PinnedKey, pin_of
from troth.enroll.acme.errors import VALIDATION_CAA, VALIDATION_INCORRECT
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid
from troth.enroll.acme.vantage.door import VantageDoor
from troth.enroll.acme.vantage.wire import MEDIA_TYPE, SKEW, Question, outcome, read_seen
from troth.kit.lane import Request, Response

TOKEN = "tok_en-0123456789abcdef"
CHALLENGE = Challenge("http-01", Identifier("dns", "a.test"), TOKEN, f"{TOKEN}.{'A' * 43}")
OWN = "ab" * 32


class Looks:
    """Sees what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.found: Valid | Invalid = Valid((Attempt("http://a.test/", "127.0.0.1", "HTTP 200"),), 7.0)
        self.gate: asyncio.Event | None = None

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        self.asked.append(challenge)
        if self.gate is not None:
            await self.gate.wait()
        return self.found

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        self.asked.append((question, tuple(issuers)))
        return self.found


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> PinnedKey:
    return PinnedKey.at(tmp_path_factory.mktemp("asker") / "vantage.pem")


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def door(clock: FakeClock, asker: PinnedKey, looks: Looks) -> VantageDoor:
    return VantageDoor(looks, clock, own=OWN, askers=frozenset({asker.pin}), at_once=2)


def question(clock: FakeClock, **more: object) -> Question:
    usual: dict[str, object] = {"to": OWN, "id": "1", "at": clock.now().timestamp(), "budget": 5.0}
    return Question(**{**usual, **more})  # type: ignore[arg-type]


def signed(key: SigningKey, asked: Question, **header: object) -> bytes:
    return sign_jws(key, {"alg": "ES256", "jwk": dict(key.public.jwk), **header}, msgspec.json.encode(asked))


async def post(door: VantageDoor, body: bytes, kind: str = MEDIA_TYPE) -> Response:
    return await door.ask(Request("POST", "/vantage", b"/vantage", b"", (), {"content-type": kind}, body))


def code(answer: Response) -> str:
    return str(msgspec.json.decode(answer.body)["code"])


async def test_what_was_seen_is_told_as_it_was(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    answer = await post(door, signed(asker.signing, question(clock, challenge=CHALLENGE)))
    assert answer.status == 200
    assert outcome(read_seen(answer.body)) == looks.found
    assert looks.asked == [CHALLENGE]
    problem = AcmeProblem(VALIDATION_INCORRECT, "a.test: HTTP 404")
    looks.found = Invalid(problem, False, (Attempt("x", None, "404"),))
    answer = await post(door, signed(asker.signing, question(clock, id="2", challenge=CHALLENGE)))
    told = outcome(read_seen(answer.body))
    assert isinstance(told, Invalid)
    assert (told.problem.reason, told.problem.detail, told.retryable) == (problem.reason, problem.detail, False)


async def test_caa_alone_and_a_greeting_are_answered_too(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    asked = CaaQuestion("a.test", True, "https://ca/1", "dns-01")
    looks.found = Invalid(AcmeProblem(VALIDATION_CAA, "CAA at test allows nobody"), False, ())
    answer = await post(door, signed(asker.signing, question(clock, caa=asked, issuers=("ca.test",))))
    found = outcome(read_seen(answer.body))
    assert isinstance(found, Invalid)
    assert found.problem.reason is VALIDATION_CAA
    assert looks.asked == [(asked, ("ca.test",))]
    greeting = read_seen((await post(door, signed(asker.signing, question(clock, id="2")))).body)
    assert greeting.valid
    assert greeting.at == clock.now().timestamp()
    metrics = (await door.metrics(Request("GET", "/", b"/", b"", (), {}, b""))).body.decode()
    assert 'troth_vantage_questions_total{kind="caa",result="not seen"} 1' in metrics


async def test_a_stranger_is_told_the_same_whatever_is_wrong(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    stranger, asked = SigningKey.generate(), question(clock, challenge=CHALLENGE)
    forged = signed(stranger, asked, jwk=dict(asker.signing.public.jwk))
    answers = [await post(door, signed(stranger, asked)), await post(door, forged)]
    assert {(one.status, one.body) for one in answers} == {(403, answers[0].body)}
    assert code(answers[0]) == "vantage.stranger"
    assert looks.asked == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": "cd" * 32}, "another vantage"),
        ({"at": -1.0}, "clocks differ"),
        ({"challenge": replace(CHALLENGE, token="../../admin")}, "alphabet"),
        ({"challenge": replace(CHALLENGE, key_authorization="x\r\ny")}, "alphabet"),
        ({"challenge": replace(CHALLENGE, label="evil.example.")}, "alphabet"),
        ({"challenge": replace(CHALLENGE, type="gopher-01")}, "no such challenge"),
        ({"challenge": replace(CHALLENGE, identifier=Identifier("dns", "A.test"))}, "not canonical"),
        ({"challenge": replace(CHALLENGE, identifier=Identifier("dns", "*.test"))}, ""),
        ({"challenge": replace(CHALLENGE, identifier=Identifier("dns", "a.test/../b"))}, ""),
        ({"challenge": replace(CHALLENGE, identifier=Identifier("mail", "a@a.test"))}, ""),
        ({"caa": CaaQuestion("a.test:80", False, "", "")}, ""),
    ],
)
async def test_what_it_would_not_ask_itself_is_not_looked_at(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks, change: dict[str, object], words: str
) -> None:
    answer = await post(door, signed(asker.signing, question(clock, **change)))
    assert answer.status == 400
    assert words in msgspec.json.decode(answer.body)["detail"]
    assert looks.asked == []


async def test_a_question_is_answered_once_and_in_its_time(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    body = signed(asker.signing, question(clock, challenge=CHALLENGE))
    assert (await post(door, body)).status == 200
    assert code(await post(door, body)) == "vantage.question"
    for later in (SKEW + 1, SKEW + 1):  # it is forgotten only when its time has long passed
        clock.advance(timedelta(seconds=later))
        assert code(await post(door, body)) == "vantage.question"
    assert len(looks.asked) == 1
    assert (await post(door, signed(asker.signing, question(clock, id="2")))).status == 200
    assert list(door._seen) == ["2"]


async def test_more_at_once_than_it_may_take_are_refused(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    looks.gate = asyncio.Event()
    waiting = [
        asyncio.create_task(post(door, signed(asker.signing, question(clock, id=str(n), challenge=CHALLENGE))))
        for n in range(2)
    ]
    while len(looks.asked) < 2:
        await asyncio.sleep(0)
    assert code(await post(door, signed(asker.signing, question(clock, id="3", challenge=CHALLENGE)))) == "vantage.busy"
    looks.gate.set()
    assert [one.status for one in await asyncio.gather(*waiting)] == [200, 200]


async def test_who_looks_for_too_long_has_not_seen_it(
    door: VantageDoor, clock: FakeClock, asker: PinnedKey, looks: Looks
) -> None:
    looks.gate = asyncio.Event()
    answer = await post(door, signed(asker.signing, question(clock, budget=0.01, challenge=CHALLENGE)))
    found = outcome(read_seen(answer.body))
    assert isinstance(found, Invalid)
    assert found.problem.reason.code == "acme.validation.vantage"


def test_a_lying_vantage_gets_no_words_of_ours_into_the_log_or_the_answer() -> None:
    answer = {
        "valid": False,
        "at": 0.0,
        "version": "x",
        "reason": "policy.no_rule",
        "detail": "\x1b[2J" + "y" * 9999,
        "record": [["\u202etarget\n", "a\x00", "r" * 9999]] * 500,
    }
    found = outcome(read_seen(msgspec.json.encode(answer)))
    assert isinstance(found, Invalid)
    assert found.problem.reason.code == "acme.validation.vantage"
    assert found.problem.detail.isprintable()
    assert len(found.problem.detail) <= 500
    assert len(found.record) == 60
    assert all(one.target.isprintable() for one in found.record)
    assert max(len(one.result) for one in found.record) == 500


def test_a_pinned_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "vantage.pem"
    first = PinnedKey.at(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PinnedKey.at(path).pin == first.pin
    assert pin_of(b"nonsense") == ""
