"""The vantage's own door: it answers the questions of those whose keys it has pinned, and nothing else.

Trusted: nobody but the pinned askers, and those only for questions. What a question makes it connect to is bounded by
the network policy of this process, whatever Troth's own allows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import troth
from troth.client.errors import JoseError
from troth.client.jose import VerifyingKey
from troth.client.pinned import pin
from troth.enroll.acme.errors import VALIDATION_VANTAGE, VANTAGE_BUSY, VANTAGE_QUESTION, VANTAGE_STRANGER
from troth.enroll.acme.flattened import Flattened
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.validate.outcome import Invalid, Valid
from troth.enroll.acme.validate.perspectives import Validating
from troth.enroll.acme.validate.validator import METHODS
from troth.enroll.acme.vantage.wire import (
    MAX_QUESTION,
    MEDIA_TYPE,
    PATH,
    SKEW,
    Question,
    QuestionRefused,
    read_question,
    told,
)
from troth.kit.clock import Clock
from troth.kit.errors import Reason, TrothError
from troth.kit.lane import Request, Response, Route
from troth.kit.log import get_logger
from troth.kit.problems import problem

log = get_logger("vantage")

_PROBLEM = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))
_JSON = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_MOST_SEEN = 100_000


class VantageDoor:
    """See the module.

    Args:
        validating: what looks, from here.
        own: pin of this vantage.
        askers: keys that may ask, by their pins.
        at_once: questions under way; more are refused.
    """

    def __init__(
        self, validating: Validating, clock: Clock, *, own: str, askers: frozenset[str], at_once: int = 64
    ) -> None:
        self._validating = validating
        self._clock = clock
        self._own = own
        self._askers = askers
        self._at_once = at_once
        self._under_way = 0
        self._seen: dict[str, float] = {}  # in the order of asking
        self.counts: Counter[tuple[str, str]] = Counter()

    def routes(self) -> Sequence[Route]:
        """What to put on the lane."""
        return (
            Route(PATH, {"POST": self.ask}, permission="public", max_body=MAX_QUESTION),
            Route("/metrics", {"GET": self.metrics}, permission="public"),
        )

    async def ask(self, request: Request) -> Response:
        """The answer to one question."""
        try:
            question = self._open(request)
        except TrothError as refusal:
            self.counts["question", "refused"] += 1
            log.info("question.refused", code=refusal.code, detail=refusal.detail, client=request.client)
            return _refused(refusal.reason, refusal.detail)
        if self._under_way >= self._at_once:
            self.counts["question", "busy"] += 1
            return _refused(VANTAGE_BUSY, f"{self._under_way} questions are under way")
        self._under_way += 1
        try:
            found = await self._look(question)
        finally:
            self._under_way -= 1
        kind = question.challenge.type if question.challenge else "caa" if question.caa else "greeting"
        self.counts[kind, "seen" if isinstance(found, Valid) else "not seen"] += 1
        return Response(200, told(found, at=self._clock.now().timestamp(), version=troth.__version__), _JSON)

    async def metrics(self, _request: Request) -> Response:
        """What was asked, by kind and result; in Prometheus' text format, without anybody's name."""
        lines = ["# TYPE troth_vantage_questions counter"]
        lines += [
            f'troth_vantage_questions_total{{kind="{kind}",result="{result}"}} {number}'
            for (kind, result), number in sorted(self.counts.items())
        ]
        lines += ["# TYPE troth_vantage_under_way gauge", f"troth_vantage_under_way {self._under_way}"]
        headers = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
        return Response(200, ("\n".join(lines) + "\n").encode(), headers)

    async def _look(self, question: Question) -> Valid | Invalid:
        try:
            async with asyncio.timeout(question.budget):
                if question.challenge is not None:
                    return await self._validating.validate(question.challenge)
                if question.caa is not None:
                    return await self._validating.permitted(question.caa, question.issuers)
                return Valid(())
        except TimeoutError:
            return Invalid(AcmeProblem(VALIDATION_VANTAGE, f"no answer within {question.budget:g} seconds"), True, ())

    def _open(self, request: Request) -> Question:
        """The question, believed. Raises TrothError; to a stranger always the same."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
            raise QuestionRefused(VANTAGE_QUESTION, f"the content type must be {MEDIA_TYPE}")
        parts = Flattened.parse(request.body)
        key = self._key(parts)
        if parts.algorithm() != "ES256":
            raise QuestionRefused(VANTAGE_STRANGER)
        try:
            key.verify("ES256", parts.signing_input, parts.signature)
        except JoseError:
            raise QuestionRefused(VANTAGE_STRANGER) from None
        question = read_question(parts.payload)
        if question.challenge is not None and question.challenge.type not in METHODS["dns"]:
            raise QuestionRefused(VANTAGE_QUESTION, "this version knows no such challenge")
        now = self._clock.now().timestamp()
        if question.to != self._own:
            raise QuestionRefused(VANTAGE_QUESTION, "it is for another vantage")
        if abs(question.at - now) > SKEW:
            raise QuestionRefused(VANTAGE_QUESTION, f"the clocks differ by {abs(question.at - now):.0f} seconds")
        self._once(question, now)
        return question

    def _key(self, parts: Flattened) -> VerifyingKey:
        try:
            key = VerifyingKey.from_jwk(parts.header.get("jwk"))
        except JoseError as error:
            raise QuestionRefused(VANTAGE_QUESTION, "the header has no public key") from error
        if key.algorithm != "ES256" or pin(key.public_key) not in self._askers:  # type: ignore[arg-type]
            raise QuestionRefused(VANTAGE_STRANGER)
        return key

    def _once(self, question: Question, now: float) -> None:
        """Refuse a question that was heard before; none is remembered for longer than its time allows it."""
        while self._seen and (oldest := next(iter(self._seen))) and self._seen[oldest] < now - 2 * SKEW:
            del self._seen[oldest]
        if question.id in self._seen:
            raise QuestionRefused(VANTAGE_QUESTION, "it was asked before")
        if len(self._seen) >= _MOST_SEEN:
            raise QuestionRefused(VANTAGE_BUSY, "too many questions within a few minutes")
        self._seen[question.id] = now


def _refused(reason: Reason, detail: str) -> Response:
    return Response(reason.status, problem(reason, detail, reason.status), _PROBLEM)
