"""Several vantage points: how many must see the same, and what is told of those that do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from troth.enroll.acme.errors import VALIDATION_CONNECTION
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.caa import CaaQuestion
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Perspectives, needed
from troth.enroll.acme.validate.validator import build_validating
from troth.kit.acme_settings import AcmeSettings, AcmeVantage

CHALLENGE = Challenge("http-01", Identifier("dns", "a.example"), "token", "token.key")


class Sees:
    """A vantage that sees, or does not."""

    def __init__(self, control: bool, until: float | None = None) -> None:
        self.control, self.until, self.asked = control, until, 0

    async def permitted(self, question: CaaQuestion, issuers: Sequence[str]) -> Valid | Invalid:
        return await self.validate(CHALLENGE)

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        self.asked += 1
        record = (Attempt("http://a.example/", "192.0.2.1", "HTTP 200"),)
        if self.control:
            return Valid(record, self.until)
        return Invalid(AcmeProblem(VALIDATION_CONNECTION, "a.example: refused"), True, record)


@pytest.mark.parametrize(
    ("sees", "quorum", "valid"),
    [
        ((), 0, True), ((True,), 1, True), ((False,), 1, False), ((False,), 0, False), ((True, False), 0, True),
        ((True, False, False), 0, False), ((True, False), 1, True), ((True, False), 2, False),
        ((True, True, False), 2, True), ((False, True, False), 2, False),
    ],
)  # fmt: skip
async def test_enough_must_agree(sees: tuple[bool, ...], quorum: int, valid: bool) -> None:
    vantages = {f"v{n}": Sees(one) for n, one in enumerate(sees)}
    found = await Perspectives(Sees(True, 7.0), vantages, quorum).validate(CHALLENGE)
    assert isinstance(found, Valid) is valid
    if isinstance(found, Valid):
        assert found.until == 7.0
    else:
        assert found.problem.reason.code == "acme.validation.quorum"
        assert found.retryable
        against = [f"v{n}" for n, one in enumerate(sees) if not one]
        assert [one.target for one in found.record if one.result == "a.example: refused"] == against
    assert all(one.target.startswith(("http", "v")) for one in found.record)


@pytest.mark.parametrize(
    ("vantages", "enough"), [(0, 0), (1, 1), (2, 1), (3, 2), (5, 4), (6, 4), (7, 5), (20, 18)]
)  # fmt: skip
def test_without_a_number_as_many_as_public_authorities_need(vantages: int, enough: int) -> None:
    assert needed(0, vantages) == enough
    assert needed(3, vantages) == 3


async def test_caa_needs_as_many_as_a_proof() -> None:
    question = CaaQuestion("a.example", False, "https://ca/1", "dns-01")
    many = {"a": Sees(True), "b": Sees(False), "c": Sees(False)}
    found = await Perspectives(Sees(True), many, 2).permitted(question, ("ca.example",))
    assert isinstance(found, Invalid)
    assert found.problem.reason.code == "acme.validation.quorum"
    assert isinstance(await Perspectives(Sees(True), many, 1).permitted(question, ()), Valid)
    assert isinstance(await Perspectives(Sees(False), {}, 0).permitted(question, ()), Invalid)


async def test_nobody_else_is_troubled_with_what_fails_here_already() -> None:
    far = Sees(True)
    found = await Perspectives(Sees(False), {"far": far}, 1).validate(CHALLENGE)
    assert isinstance(found, Invalid)
    assert found.problem.reason is VALIDATION_CONNECTION
    assert far.asked == 0


def test_a_configuration_that_cannot_be_met_is_refused() -> None:
    with pytest.raises(ValueError, match="quorum"):
        build_validating(AcmeSettings(quorum=1), own_listeners=())
    with pytest.raises(ValueError, match="no-address"):
        build_validating(AcmeSettings(vantages={"a": AcmeVantage(source_address="no-address")}), own_listeners=())
    with pytest.raises(ValueError, match="nonsense"):
        build_validating(AcmeSettings(allowed_networks=("nonsense",)), own_listeners=())
    elsewhere = AcmeVantage(url="https://far.example:8460")
    with pytest.raises(ValueError, match="a url goes with a key"):
        build_validating(AcmeSettings(vantages={"a": elsewhere}), own_listeners=(), reaching=lambda *_: Sees(True))
