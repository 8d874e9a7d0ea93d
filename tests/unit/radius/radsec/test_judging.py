"""Whose certificate of a peer is believed: ours by the record, others' by lists, none without an authority."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.radsec import TinyAuthority
from troth.radius.admission.foreign import ForeignCrl, issuer_id
from troth.radius.radsec.judging import Believed, judged
from troth.radius.radsec.names import PeerCertificate, read

OWN = TinyAuthority()
NOW = datetime.now(UTC)


class Record:
    """What the database knows: SHA-256 → status."""

    def __init__(self, **known: Any) -> None:
        self.known: dict[bytes, str] = {}
        self.asked = 0

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        self.asked += 1
        return [{"sha256": one, "status": self.known[one]} for one in values[0] if one in self.known]

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        raise AssertionError

    async def fetchval(self, sql: str, *values: Any) -> Any:
        raise AssertionError


def peer(authority: TinyAuthority = OWN) -> PeerCertificate:
    leaf = x509.load_pem_x509_certificate(authority.issue("ap.corp.test").chain).public_bytes(Encoding.DER)
    return read((leaf, authority.der))


async def against(
    one: PeerCertificate, record: Record, *, own: bool = True, lists: Any = None, at: datetime = NOW,
    authority: TinyAuthority = OWN,
) -> str | None:  # fmt: skip
    found = await judged([one], Believed({authority.der: own}), lists or {}, record, at)
    return found[one.leaf][1] if one.leaf in found else None


@pytest.mark.parametrize(("status", "words"), [("good", None), ("held", "it is held"), ("revoked", "it is revoked")])
async def test_one_of_ours_stands_as_the_record_says(status: str, words: str | None) -> None:
    one, record = peer(), Record()
    record.known[hashlib.sha256(one.leaf).digest()] = status
    assert await against(one, record) == words


async def test_what_an_authority_of_ours_never_issued_by_the_record_is_nobodys() -> None:
    assert await against(peer(), Record()) == "it is not in the record of what was issued"


async def test_who_is_vouched_for_by_nobody_any_more_goes() -> None:
    one, record = peer(), Record()
    record.known[hashlib.sha256(one.leaf).digest()] = "good"
    other = TinyAuthority()
    assert await against(one, record, authority=other) == "no authority that RadSec believes vouches for it"
    alone = PeerCertificate(one.chain[:1], one.names, one.subject, one.not_after)
    assert await against(alone, record) == "no authority that RadSec believes vouches for it"
    assert record.asked == 0


async def test_one_that_has_ended_goes() -> None:
    assert await against(peer(), Record(), at=NOW + timedelta(days=2)) == "it has ended"


async def test_anothers_is_believed_until_a_list_names_it() -> None:
    one = peer()
    assert await against(one, Record(), own=False) is None
    serial = x509.load_der_x509_certificate(one.leaf).serial_number
    issuer = issuer_id(OWN.certificate)
    lists = {issuer: ForeignCrl(issuer, NOW, NOW + timedelta(hours=1), frozenset({serial}))}
    told = await against(one, Record(), own=False, lists=lists)
    assert told is not None
    assert told.startswith("revoked by its issuer: ")
    assert f"{serial:x}" in told
