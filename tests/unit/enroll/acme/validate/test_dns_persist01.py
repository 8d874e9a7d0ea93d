"""How a standing record names an account: the draft's own vectors, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.enroll.acme.problems import Identifier
from troth.enroll.acme.validate.dns_persist01 import hash_prefix, hashed_uri, persist_refuses
from troth.enroll.acme.validate.outcome import Challenge

#: draft-ietf-acme-dns-persist-02, 10.2.
URL, THUMBPRINT = "https://ca.example/acct/123", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
CHALLENGE = Challenge(
    "dns-persist-01", Identifier("dns", "example.com"), "", "", account_uri=URL, issuers=("authority.example",),
    thumbprints=(THUMBPRINT,),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("example.com", "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"),
        ("*", "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"),
    ],
)
def test_hashed_uris_are_those_of_the_draft(name: str, digest: str) -> None:
    assert hash_prefix(URL) == "https://ca.example/account-hash/"
    assert hashed_uri(hash_prefix(URL), name, THUMBPRINT, URL) == f"https://ca.example/account-hash/sha-256/{digest}"
    record = f"authority.example; accounturi=https://ca.example/account-hash/sha-256/{digest}".encode()
    assert persist_refuses(record, CHALLENGE, 0.0) == ""
    assert persist_refuses(record, replace(CHALLENGE, plain_uris=False), 0.0) == ""
    assert "accounturi" in persist_refuses(record, replace(CHALLENGE, account_uri="https://ca.example/acct/124"), 0.0)
    assert "accounturi" in persist_refuses(record, replace(CHALLENGE, thumbprints=(THUMBPRINT[::-1],)), 0.0)
    other = replace(CHALLENGE, identifier=Identifier("dns", "example.org"))
    assert bool(persist_refuses(record, other, 0.0)) is (name != "*")


@given(st.text(st.characters(codec="ascii", exclude_characters=";"), max_size=120))
def test_no_other_text_names_the_account(text: str) -> None:
    for challenge in (CHALLENGE, replace(CHALLENGE, account_uri=""), replace(CHALLENGE, thumbprints=())):
        record = f"authority.example; accounturi={text}".encode()
        assert persist_refuses(record, challenge, 0.0) or text.strip() == URL
