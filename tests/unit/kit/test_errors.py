from __future__ import annotations

import pytest

from troth.kit import errors
from troth.kit.errors import TrothError, reason, registered_reasons, trace_of
from troth.pki.errors import CLOCK_SKEW, FENCED, ClockRefused, Fenced


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes made here are gone after the test."""
    monkeypatch.setattr(errors, "_registry", dict(errors._registry))


def test_a_reason_is_registered_by_its_code() -> None:
    made = reason("kit.test.made", "it was made", fix="Nothing.", status=418)
    assert registered_reasons()["kit.test.made"] is made


def test_a_code_cannot_be_registered_twice() -> None:
    reason("kit.test.twice", "once", fix="")
    with pytest.raises(ValueError, match="defined twice"):
        reason("kit.test.twice", "again", fix="")


@pytest.mark.parametrize("code", ["", "one", "Upper.case", "a..b", ".a.b", "a.b.", "a.b c", "a.b-c", "1a.b", "a.b\n"])
def test_a_malformed_code_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="not dotted lower-case"):
        reason(code, "", fix="")


def test_the_registry_is_listed_in_order_and_cannot_be_changed_from_outside() -> None:
    reason("zz.last", "", fix="")
    reason("aa.first", "", fix="")
    listed = registered_reasons()
    assert list(listed) == sorted(listed)
    listed.clear()  # type: ignore[attr-defined]  # a copy: its owner may do as it likes
    assert "zz.last" in registered_reasons()


def test_an_error_tells_its_code_its_detail_and_its_facts() -> None:
    made = reason("kit.test.detail", "the summary", fix="")
    error = TrothError(made, "this time", limit=3)
    assert (error.code, error.detail, error.facts) == ("kit.test.detail", "this time", {"limit": 3})
    assert str(error) == "kit.test.detail: this time"


def test_an_error_without_a_detail_says_the_summary() -> None:
    error = TrothError(reason("kit.test.summary", "the summary", fix=""))
    assert error.detail == "the summary"


def test_only_what_says_of_itself_that_it_is_expected_is_logged_without_a_traceback() -> None:
    failed, skewed, fenced = TrothError(CLOCK_SKEW), ClockRefused(CLOCK_SKEW), Fenced(FENCED)
    assert (trace_of(failed), trace_of(skewed), trace_of(fenced)) == (failed, None, None)
    broken = OSError("disk")
    assert trace_of(broken) is broken
