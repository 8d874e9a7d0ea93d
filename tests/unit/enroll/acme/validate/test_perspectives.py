"""Several vantage points: how many must see the same, and what is told of those that do not."""

from __future__ import annotations

import pytest

from troth.enroll.acme.errors import VALIDATION_CONNECTION
from troth.enroll.acme.problems import AcmeProblem, Identifier
from troth.enroll.acme.validate.outcome import Attempt, Challenge, Invalid, Valid
from troth.enroll.acme.validate.perspectives import Perspectives
from troth.enroll.acme.validate.validator import build_validating
from troth.kit.acme_settings import AcmeSettings, AcmeVantage

CHALLENGE = Challenge("http-01", Identifier("dns", "a.example"), "token", "token.key")


class Sees:
    """A vantage that sees, or does not."""

    def __init__(self, control: bool, until: float | None = None) -> None:
        self.control, self.until, self.asked = control, until, 0

    async def validate(self, challenge: Challenge) -> Valid | Invalid:
        self.asked += 1
        record = (Attempt("http://a.example/", "192.0.2.1", "HTTP 200"),)
        if self.control:
            return Valid(record, self.until)
        return Invalid(AcmeProblem(VALIDATION_CONNECTION, "a.example: refused"), True, record)


@pytest.mark.parametrize(
    ("sees", "quorum", "valid"),
    [
        ((), 0, True), ((True,), 1, True), ((False,), 1, False), ((False,), 0, True), ((True, False), 1, True),
        ((True, False), 2, False), ((True, True, False), 2, True), ((False, True, False), 2, False),
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
