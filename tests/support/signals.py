"""A signal desk on a test's own database and mint: feeds, subjects, certificates, and signals about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.support.mint import Mint
from troth.kit.clock import FakeClock
from troth.kit.ids import new_id

if TYPE_CHECKING:
    from troth.pki.model import CertificateRecord
    from troth.store.pool import Database
    from troth.trust.enforcement.enforce import Enforcer
    from troth.trust.enforcement.orders import Orders
    from troth.trust.feeds.desk import FeedDesk
    from troth.trust.intake.desk import SignalDesk
    from troth.trust.intake.taking import Receipt
    from troth.trust.signals.model import Signal
    from troth.trust.standing import Standing


@dataclass
class Trust:
    """What a test of signals works with."""

    mint: Mint
    database: Database
    clock: FakeClock
    enforcer: Enforcer
    desk: SignalDesk
    orders: Orders
    feeds: FeedDesk

    async def feed(self, name: str = "edr", **fields: Any) -> str:
        """A feed that may do everything unless ``fields`` say otherwise. Returns its secret."""
        from troth.trust.feeds.model import parse_feeds

        definition: dict[str, Any] = {
            "name": name,
            "kinds": ["edr.*", "mdm.*", "idp.*", "network.*", "integrity.*", "generic.*"],
            "scope": {"subjects": ["device", "user", "workload"]},
            "greatest_effect": "distrusted",
        }
        applied = await self.feeds.apply(parse_feeds({"feeds": [definition | fields]}), actor="admin:alice")
        return applied[0].secret or ""

    async def subject(
        self,
        name: str = "laptop-1",
        *,
        kind: str = "device",
        protected: bool = False,
        serial: str | None = None,
        groups: Sequence[str] = (),
        **attributes: str,
    ) -> UUID:
        """A subject of that name, trusted; ``attributes`` of its directory: ``upn="alice@corp.example"``."""
        subject_id = new_id()
        await self.database.fetchval(
            """INSERT INTO subject (id, kind, name, origin, attributes, groups, protected, standing_since, created_at,
                                    confirmed_at)
               VALUES ($1, $2, $3, 'test', $4, $5, $6, $7, $7, $7)""",
            subject_id, kind, name, json.dumps(attributes | ({"serial": serial} if serial else {})),
            json.dumps(list(groups)), protected, self.clock.now(),
        )  # fmt: skip
        return subject_id

    async def subjects(self, number: int, *, prefix: str = "laptop") -> list[UUID]:
        """Many devices at once."""
        ids = [new_id() for _ in range(number)]
        await self.database.fetchval(
            """INSERT INTO subject (id, kind, name, origin, standing_since, created_at, confirmed_at)
               SELECT id, 'device', $3 || '-' || n, 'test', $2, $2, $2
               FROM unnest($1::uuid[]) WITH ORDINALITY AS i(id, n)""",
            ids, self.clock.now(), prefix,
        )  # fmt: skip
        return ids

    async def certificate(self, *subjects: UUID, profile: str = "client-device", owner: UUID | None = None) -> UUID:
        """A certificate that speaks for ``subjects`` (and belongs to ``owner``), issued by the real gate."""
        from troth.pki.model import Binding

        bindings = tuple(Binding(one) for one in subjects) + ((Binding(owner, "owner"),) if owner else ())
        issued = await self.mint.gate.issue(
            self.mint.request(
                f"request-{new_id()}", profile=profile, subjects=bindings, names=(("dns", "laptop.example"),)
            )
        )
        return issued.id

    async def status(self, certificate_id: UUID) -> str:
        """``good``, ``held`` or ``revoked``."""
        return (await self.row(certificate_id)).status

    async def row(self, certificate_id: UUID) -> CertificateRecord:
        from troth.pki.store import CertificateStore

        found = await CertificateStore(self.database).by_id(certificate_id)
        assert found is not None
        return found

    async def standing(self, subject_id: UUID) -> Standing:
        from troth.trust.enforcement.enforce import locked_subject

        return (await locked_subject(self.database, subject_id)).standing

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """(kind, data) of every ledger event so far, in order."""
        rows = await self.database.fetch("SELECT payload FROM ledger_inbox ORDER BY id")
        payloads = [json.loads(row["payload"]) for row in rows]
        return [(one["kind"], one["data"]) for one in payloads]

    async def kinds(self) -> list[str]:
        """Kinds of ledger events that are about signals and what they cause."""
        rooms = ("signal.", "cause.", "standing.", "action.", "subject.", "certificate.held", "certificate.released",
                 "certificate.revoked", "enforcement.")  # fmt: skip
        return [kind for kind, _ in await self.events() if kind.startswith(rooms)]

    def signal(self, kind: str, subject: UUID | str, *, feed: str = "edr", **fields: Any) -> Signal:
        """A signal about a subject's id or a device's name, observed now."""
        from troth.trust.signals.model import Whom, signal

        whom = Whom(id=subject) if isinstance(subject, UUID) else Whom(kind="device", name=subject)
        values: dict[str, Any] = {
            "feed": feed,
            "message_id": f"msg_{new_id().hex}",
            "digest": hashlib.sha256(kind.encode()).digest(),
            "kind": kind,
            "whom": whom,
            "observed_at": self.clock.now(),
            "now": self.clock.now(),
        }
        return signal(**(values | fields))

    async def take(self, kind: str, subject: UUID | str, *, feed: str = "edr", **fields: Any) -> Receipt:
        """Send one signal, a second after the last."""
        self.clock.advance(timedelta(seconds=1))
        return await self.desk.take(self.signal(kind, subject, feed=feed, **fields))

    def ago(self, seconds: float) -> datetime:
        return self.clock.now() - timedelta(seconds=seconds)


@pytest.fixture
async def trust(mint: Mint) -> Trust:
    """Desk, orders and feeds on a fresh database with a working mint; no feed and no subject yet."""
    from troth.kit.sealing import SecretBox
    from troth.trust.enforcement.enforce import Enforcer
    from troth.trust.enforcement.orders import Orders
    from troth.trust.feeds.desk import FeedDesk
    from troth.trust.intake.desk import SignalDesk

    enforcer = Enforcer()
    database, clock = mint.database, mint.clock
    return Trust(
        mint,
        database,
        clock,
        enforcer,
        SignalDesk(database, clock, enforcer),
        Orders(database, clock, enforcer),
        FeedDesk(database, clock, SecretBox(b"k" * 32, purpose="feed")),
    )
