"""What must hold after every crash, asked of the database and of what was seen outside of it.

The numbers of the promises are those of the issue: no certificate exists that the database does not know (1), none
is issued twice (2), no acknowledged one is lost (3); an order always ends (4); the ledger tells all of it (5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography import x509

from troth.pki.signer.certificate_rules import read_tbs
from troth.store.unit import Reader

_ORDERS = """
SELECT o.id, o.status, o.certificate_id, o.identifiers->0->>1 AS name FROM acme_order o
WHERE $1::text[] IS NULL OR o.identifiers->0->>1 = ANY($1)"""
_CERTIFICATES = """
SELECT id, serial, request_id, CASE WHEN request_id LIKE 'acme:%' THEN split_part(request_id, ':', 2) END AS order_id,
    state, status, revocation_reason, crl_entry, tbs, der, sha256, authority
FROM certificate
WHERE $1::text[] IS NULL OR request_id LIKE 'acme:%' AND split_part(request_id, ':', 2) = ANY($1)"""
_EVENTS = """
SELECT s.ref, e.kind FROM ledger_subject s CROSS JOIN LATERAL unnest(s.idx || s.more) AS i(idx)
    JOIN ledger_event e ON e.idx = i.idx WHERE s.ref = ANY($1::text[])"""
_JOBS = "SELECT kind, key, state FROM job WHERE kind = 'acme.validate'"


@dataclass(frozen=True)
class Seen:
    """What is known without the database.

    Attributes:
        signed: TBSCertificates that the signer signed, repetitions included.
        acknowledged: by name, the certificates (DER) that a client was given.
        issuers: by authority, whose key its certificates must verify under.
    """

    signed: Sequence[bytes]
    acknowledged: Mapping[str, Collection[bytes]]
    issuers: Mapping[str, x509.Certificate]


@dataclass
class World:
    """The rows about some names (or all), and the faults found in them."""

    orders: list[Any]
    certificates: list[Any]
    events: Counter[tuple[UUID, str]]
    faults: list[str] = field(default_factory=list)

    def check(self, holds: object, fault: str) -> None:
        if not holds:
            self.faults.append(fault)


async def broken(reader: Reader, seen: Seen, names: Collection[str] | None = None) -> list[str]:
    """Every promise that does not hold, in words; of the orders for ``names`` only, if they are given.

    Recovery must have run, and the sequencer must have emptied the inbox.
    """
    orders = await reader.fetch(_ORDERS, None if names is None else sorted(names))
    ids = None if names is None else [str(order["id"]) for order in orders]
    certificates = await reader.fetch(_CERTIFICATES, ids)
    refs = [f"certificate:{row['id']}" for row in certificates]
    events = Counter((UUID(row["ref"][12:]), row["kind"]) for row in await reader.fetch(_EVENTS, refs))
    world = World(orders, certificates, events)
    _what_was_signed_is_known(world, seen)
    _nothing_is_issued_twice(world, seen)
    _what_was_acknowledged_is_there(world, seen)
    _orders_have_ended(world, None if names is None else names)
    _the_ledger_tells(world)
    for job in await reader.fetch(_JOBS):
        world.check(job["state"] != "dead", f"job {job['key']} was given up")
    return world.faults


def _serial(tbs: bytes) -> int:
    return int.from_bytes(read_tbs(tbs).serial)


def _what_was_signed_is_known(world: World, seen: Seen) -> None:
    known = {int.from_bytes(row["serial"]): row for row in world.certificates}
    for tbs in seen.signed:
        row = known.get(_serial(tbs))
        if row is None:
            world.faults.append(f"a certificate was signed that the database does not know: {_serial(tbs):x}")
        elif row["state"] == "issued":
            der = x509.load_der_x509_certificate(row["der"])
            world.check(der.tbs_certificate_bytes == tbs, f"{row['request_id']}: other bytes are stored than signed")
    for row in world.certificates:
        what = f"{row['request_id']} is {row['state']}, {row['status']}"
        if row["state"] == "issued":
            certificate = x509.load_der_x509_certificate(row["der"])
            world.check(row["status"] == "good", what)
            certificate.verify_directly_issued_by(seen.issuers[row["authority"]])
        else:
            revoked = (row["state"], row["status"], row["revocation_reason"]) == ("burnt", "revoked", 5)
            world.check(revoked and row["crl_entry"] and row["der"] is None, what)


def _nothing_is_issued_twice(world: World, seen: Seen) -> None:
    for serial, times in Counter(map(_serial, seen.signed)).items():
        world.check(times == 1, f"serial {serial:x} was signed {times} times")
    for request, times in Counter(row["request_id"] for row in world.certificates).items():
        world.check(times == 1, f"request {request} has {times} certificates")
    issued = Counter(row["order_id"] for row in world.certificates if row["state"] == "issued" and row["order_id"])
    for order, times in issued.items():
        world.check(times == 1, f"order {order} has {times} certificates")


def _what_was_acknowledged_is_there(world: World, seen: Seen) -> None:
    stored = {row["der"] for row in world.certificates if row["state"] == "issued"}
    for name, ders in seen.acknowledged.items():
        for der in ders:
            world.check(der in stored, f"{name}: an acknowledged certificate is lost")


def _orders_have_ended(world: World, names: Iterable[str] | None) -> None:
    issued = {row["id"]: row for row in world.certificates if row["state"] == "issued"}
    valid: Counter[str] = Counter()
    for order in world.orders:
        what = f"the order for {order['name']} is {order['status']}"
        world.check(order["status"] in ("pending", "ready", "valid"), what)
        if order["status"] == "valid":
            valid[order["name"]] += 1
            row = issued.get(order["certificate_id"])
            world.check(row is not None and row["order_id"] == str(order["id"]), f"{what} without its certificate")
        else:
            has = any(row["order_id"] == str(order["id"]) for row in issued.values())
            world.check(not has, f"{what}, and yet it has a certificate")
    for name in {order["name"] for order in world.orders} if names is None else names:
        world.check(valid[name] == 1, f"{valid[name]} orders for {name} are valid")


def _the_ledger_tells(world: World) -> None:
    for row in world.certificates:
        told = tuple(world.events[row["id"], f"certificate.{kind}"] for kind in ("reserved", "issued", "burnt"))
        world.check(
            told == ((1, 1, 0) if row["state"] == "issued" else (1, 0, 1)),
            f"{row['request_id']} is {row['state']}; the ledger holds {told} events of reserved, issued, burnt",
        )


async def unsequenced(reader: Reader) -> int:
    """Events that have no place in the log yet."""
    return int(await reader.fetchval("SELECT count(*) FROM ledger_inbox"))


async def unwitnessed(reader: Reader) -> int:
    """Events at the log's end that no signed checkpoint covers."""
    return int(await reader.fetchval("SELECT h.size - (SELECT max(size) FROM ledger_checkpoint) FROM ledger_head h"))
