"""From claims to names: what fits, what is filled in, and what a claim cannot bring with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.tokens.errors import TokenRefused
from troth.enroll.tokens.model import Proof
from troth.enroll.tokens.rules import Allowed, allowed
from troth.kit.token_settings import TokenRule

POD = {"namespace": "shop", "serviceaccount": {"name": "cart"}, "pod": {"name": "cart-1"}}


def given_by(rules: dict[str, TokenRule], **claims: Any) -> Allowed:
    said = {"repository": "org/shop", "ref": "refs/tags/v1", "protected": True, "run": 5, "kubernetes.io": POD} | claims
    return allowed(Proof("s", said, b"", datetime(2026, 1, 1, tzinfo=UTC)), rules)


def rule(claims: dict[str, str], *names: str, **more: Any) -> dict[str, TokenRule]:
    return {"one": TokenRule(claims=claims, names=names or ("a.example",), **more)}


@pytest.mark.parametrize(
    "claims",
    [
        {"repository": "org/shop"},
        {"ref": "refs/tags/*", "repository": "org/shop"},
        {"protected": "true", "run": "5"},
        {"kubernetes.io/namespace": "shop", "kubernetes.io/serviceaccount/name": "cart"},
    ],
)
def test_a_rule_fits_if_all_its_claims_do(claims: dict[str, str]) -> None:
    assert given_by(rule(claims)).names == ("a.example",)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"repository": "org/shop2"},
        {"repository": "org"},
        {"repository": "ORG/SHOP"},
        {"repository": "org/shop", "missing": "x"},
        {"missing": "*"},
        {"ref": "refs/heads/*"},
        {"kubernetes.io": "*"},
        {"kubernetes.io/serviceaccount": "cart"},
        {"kubernetes.io/namespace/x": "shop"},
    ],
)
def test_a_rule_that_does_not_fit_gives_nothing(claims: dict[str, str]) -> None:
    with pytest.raises(TokenRefused, match=r"enroll\.token\.no_rule"):
        given_by(rule(claims))


def test_the_first_rule_that_fits_counts() -> None:
    rules = {
        "b": TokenRule(claims={"repository": "org/*"}, names=("b.example",)),
        "a": TokenRule(claims={"repository": "other"}, names=("a.example",)),
        "c": TokenRule(claims={"repository": "org/shop"}, names=("c.example",)),
    }
    assert given_by(rules).rule == "b"


def test_claims_fill_names_and_are_the_evidence() -> None:
    found = given_by(
        rule({"kubernetes.io/namespace": "shop"}, "{kubernetes.io/serviceaccount/name}.{kubernetes.io/namespace}.svc",
             device="node-{run}")
    )  # fmt: skip
    assert (found.names, found.device) == (("cart.shop.svc",), "node-5")
    assert found.claims == ("kubernetes.io/namespace=shop", "kubernetes.io/serviceaccount/name=cart", "run=5")


@pytest.mark.parametrize("value", ["a.b", "*", "", "-a", "a_b", "a/b", "x" * 64, "ä", None, ["a"], {"a": 1}, "a\n"])
def test_a_claim_brings_one_label_and_no_more(value: Any) -> None:
    with pytest.raises(TokenRefused, match=r"enroll\.token\.claim"):
        given_by(rule({"repository": "org/shop"}, "{team}.example"), team=value)


@given(st.text(max_size=80))
def test_whatever_a_claim_holds_the_name_has_the_rules_shape(value: str) -> None:
    try:
        (name,) = given_by(rule({"repository": "org/shop"}, "{team}.corp.example"), team=value).names
    except TokenRefused:
        return
    assert name.count(".") == 2
    assert name.endswith(".corp.example")
