"""Each call of a CRL's publication fails in turn, or is the last of its process: nothing is lost or repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from cryptography import x509

from tests.integration.pki.test_crl import change, issue, listed, newest
from tests.support.mint import Mint
from troth.pki.crl import CrlPublisher
from troth.pki.crl_der import CrlFrame
from troth.pki.crl_settings import set_crls
from troth.pki.crl_store import CrlStore
from troth.store.errors import COMMIT_UNKNOWN, UNAVAILABLE, CommitUnknown, Unavailable
from troth.store.unit import Unit


class DiedError(BaseException):
    """The process was killed here: nothing of it runs any more."""


class Faulty:
    """The database and the signer of one publisher; the ``fatal``-th call goes wrong ``how`` says."""

    def __init__(self, mint: Mint, signed: dict[int, set[bytes]], fatal: int = -1, how: str = "") -> None:
        self._mint = mint
        self._signed = signed
        self._fatal = fatal
        self._how = how
        self.calls = 0

    async def _call(self, work: Callable[[], Awaitable[Any]], *, commit: bool = False) -> Any:
        number, self.calls = self.calls, self.calls + 1
        if number != self._fatal:
            return await work()
        if self._how in {"done, then lost", "done, then killed"}:
            await work()
        if "killed" in self._how:
            raise DiedError
        raise CommitUnknown(COMMIT_UNKNOWN) if commit and "done" in self._how else Unavailable(UNAVAILABLE)

    async def fetch(self, sql: str, *values: Any) -> Any:
        return await self._call(lambda: self._mint.database.fetch(sql, *values))

    async def fetchrow(self, sql: str, *values: Any) -> Any:
        return await self._call(lambda: self._mint.database.fetchrow(sql, *values))

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return await self._call(lambda: self._mint.database.fetchval(sql, *values))

    async def commit(self, unit: Unit) -> None:
        await self._call(lambda: self._mint.database.commit(unit), commit=True)

    async def sign_crl_stream(
        self, key_id: str, frame: CrlFrame, runs: Iterable[bytes], commit: Callable[[], Awaitable[None]]
    ) -> bytes:
        tbs = frame.head + b"".join(runs) + frame.tail

        async def sign() -> bytes:
            signature = await self._mint.signer.sign_crl_stream(key_id, frame, runs, commit)
            crl = x509.load_der_x509_crl(b"".join(_wrapped(frame, tbs, signature, self._mint)))
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            self._signed.setdefault(number, set()).add(hashlib.sha256(tbs).digest())
            return signature

        made: bytes = await self._call(sign)
        return made


def _wrapped(frame: CrlFrame, tbs: bytes, signature: bytes, mint: Mint) -> tuple[bytes, ...]:
    head, tail = frame.envelope(mint.catalogue.authority("issuing").public_key, signature)
    return head, tbs[len(frame.head) : len(tbs) - len(frame.tail)], tail


def publisher(mint: Mint, faulty: Faulty) -> CrlPublisher:
    return CrlPublisher(faulty, faulty, mint.catalogue, mint.interlock, mint.clock)  # type: ignore[arg-type]


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["lost", "done, then lost", "killed", "done, then killed"])
@pytest.mark.parametrize("deltas", [False, True], ids=["complete", "delta"])
async def test_each_call_of_a_publication_may_go_wrong(mint: Mint, how: str, deltas: bool) -> None:
    await set_crls(mint.database, mint.catalogue, "issuing", shards=1, deltas=deltas, actor="a")
    signed: dict[int, set[bytes]] = {}
    expected: set[int] = set()

    async def once(faulty: Faulty, maker: CrlPublisher | None = None) -> None:
        certificate_id, serial = await issue(mint)
        await change(mint, "revoke", certificate_id)
        expected.add(serial)
        maker = maker or publisher(mint, faulty)
        await (maker.publish_delta("issuing") if deltas else maker.publish("issuing", scheduled=False))

    await publisher(mint, Faulty(mint, signed)).publish("issuing")
    good = Faulty(mint, signed)
    await once(good)
    assert good.calls > 6
    kind = "delta" if deltas else "full"
    for fatal in range(good.calls):
        before = await newest(mint, kind)
        faulty = Faulty(mint, signed, fatal, how)
        maker = publisher(mint, faulty)
        with pytest.raises((Unavailable, CommitUnknown, DiedError)):
            await once(faulty, maker)
        after = await newest(mint, kind)
        # Still the last good one; or the new one, if it was the answer alone that was lost.
        assert after.number == before.number or "done" in how
        listed(mint, after)
        # Who goes on (the same process, unless it died) shows everything.
        survivor = publisher(mint, Faulty(mint, signed)) if "killed" in how else maker
        await (survivor.publish_delta("issuing") if deltas else survivor.publish("issuing", scheduled=False))
        found = await newest(mint, kind)
        assert listed(mint, found).keys() == expected
        assert found.number > before.number
    full = await publisher(mint, Faulty(mint, signed)).publish("issuing")
    assert listed(mint, full).keys() == expected
    assert [one.changes for one in await CrlStore(mint.database).waiting()] == []
    # One number, one CRL; the last complete one shares its number with the delta to it.
    assert {number for number, digests in signed.items() if len(digests) > 1} <= ({full.number} if deltas else set())
