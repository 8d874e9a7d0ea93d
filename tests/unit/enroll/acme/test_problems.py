from __future__ import annotations

import json
from types import ModuleType

import pytest

from troth.enroll.acme import errors
from troth.enroll.acme.problems import ACME_TYPES, URN, AcmeProblem, Identifier, as_problem, compound, render
from troth.kit.errors import INTERNAL, Reason, TrothError, registered_reasons
from troth.pki.signer import errors as signer_errors
from troth.store import errors as store_errors

# RFC 8555, 6.7; draft-ietf-acme-profiles; RFC 9773.
KNOWN_TYPES = {
    "accountDoesNotExist", "alreadyRevoked", "badCSR", "badNonce", "badPublicKey", "badRevocationReason",
    "badSignatureAlgorithm", "caa", "compound", "connection", "dns", "externalAccountRequired", "incorrectResponse",
    "invalidContact", "malformed", "orderNotReady", "rateLimited", "rejectedIdentifier", "serverInternal", "tls",
    "unauthorized", "unsupportedContact", "unsupportedIdentifier", "userActionRequired", "invalidProfile",
    "alreadyReplaced", "badAttestationStatement",
}  # fmt: skip


def test_every_type_in_the_table_is_a_registered_acme_type() -> None:
    assert {short for short, _status in ACME_TYPES.values()} <= KNOWN_TYPES


def test_every_reason_of_this_door_is_in_the_table_itself() -> None:
    listed = [value for value in vars(errors).values() if isinstance(value, Reason)]
    assert listed
    for reason in listed:
        assert any(reason.code == code or reason.code.startswith(code + ".") for code in ACME_TYPES), reason.code


def test_every_code_in_the_table_names_a_reason() -> None:
    codes = registered_reasons()
    for code in ACME_TYPES:
        if code.startswith("acme."):
            assert any(known == code or known.startswith(code + ".") for known in codes), code


@pytest.mark.parametrize("room", [signer_errors, store_errors], ids=["signer", "store"])
def test_what_signer_or_store_refuse_is_never_the_clients_fault(room: ModuleType) -> None:
    reasons = [value for value in vars(room).values() if isinstance(value, Reason) and value.code[:3] != "pki"]
    assert reasons
    for reason in reasons:
        problem = as_problem(TrothError(reason, "not for strangers"))
        assert (problem.type, problem.status) == (URN + "serverInternal", 503), reason.code
        assert "strangers" not in problem.detail


def test_a_document_has_type_detail_status_and_reason() -> None:
    problem = AcmeProblem(errors.ORDER_NOT_READY, "the order is pending")
    assert problem.document() == {
        "type": URN + "orderNotReady",
        "detail": "the order is pending",
        "status": 403,
        "reason": "acme.order.not_ready",
    }


def test_without_a_detail_the_summary_stands_in() -> None:
    assert AcmeProblem(errors.BAD_NONCE).document()["detail"] == errors.BAD_NONCE.summary


def test_subproblems_carry_their_identifiers_and_the_outer_problem_none() -> None:
    inner = [
        AcmeProblem(errors.IDENTIFIER_REJECTED, "not here", identifier=Identifier("dns", f"{n}.example.org"))
        for n in "ab"
    ]
    document = compound(inner).document()
    assert document["type"] == URN + "compound"
    assert "identifier" not in document
    assert document["subproblems"] == [problem.document() for problem in inner]
    assert inner[0].document()["identifier"] == {"type": "dns", "value": "a.example.org"}


def test_one_failed_identifier_is_told_by_its_own_type() -> None:
    only = AcmeProblem(errors.IDENTIFIER_REJECTED, "not here", identifier=Identifier("dns", "a.example.org"))
    problem = compound([only])
    assert problem.type == URN + "rejectedIdentifier"
    assert [inner.identifier for inner in problem.subproblems] == [only.identifier]


def test_a_compound_of_equal_statuses_has_that_status() -> None:
    refused = AcmeProblem(errors.DECISION_REFUSED)
    assert compound([refused, refused]).status == 403
    assert compound([refused, AcmeProblem(errors.MALFORMED)]).status == 400


def test_the_answer_is_compact_json_on_a_single_line() -> None:
    problem = AcmeProblem(errors.MALFORMED, "a/b\nc", headers=[(b"retry-after", b"5")])
    answer = render(problem, (b"replay-nonce", b"abc"))
    assert answer.status == 400
    assert b"\n" not in answer.body
    assert b": " not in answer.body
    assert b"\\/" not in answer.body
    assert json.loads(answer.body) == problem.document()
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"replay-nonce"] == b"abc"
    assert headers[b"retry-after"] == b"5"


def test_an_unexpected_error_tells_nothing() -> None:
    problem = as_problem(RuntimeError("the password is hunter2"))
    assert problem.type == URN + "serverInternal"
    assert problem.status == 500
    assert "hunter2" not in json.dumps(problem.document())


def test_an_internal_troth_error_tells_nothing() -> None:
    problem = as_problem(TrothError(INTERNAL, "at /srv/troth/secret"))
    assert problem.type == URN + "serverInternal"
    assert "secret" not in json.dumps(problem.document())


@pytest.mark.parametrize(
    ("status", "short", "answered"),
    [(400, "malformed", 400), (409, "malformed", 409), (401, "unauthorized", 403), (403, "unauthorized", 403),
     (500, "serverInternal", 500), (503, "serverInternal", 503)],
)  # fmt: skip
def test_a_reason_that_no_line_words_is_worded_by_its_status(status: int, short: str, answered: int) -> None:
    problem = as_problem(TrothError(Reason("pki.some.reason", "a summary", "a fix", status), "a detail"))
    assert (problem.type, problem.status) == (URN + short, answered)
    assert (problem.detail == "a detail") is (status < 500)


def test_a_problem_passes_unchanged() -> None:
    problem = AcmeProblem(errors.BAD_CSR, "no")
    assert as_problem(problem) is problem
