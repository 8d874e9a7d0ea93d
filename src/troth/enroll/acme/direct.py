"""A challenge validated while its client waits, without a job: one commit, that of the result.

Nobody is told anything before that commit; so if a process dies on the way, the challenge is as it was, and the
client, which has no answer, asks again. Where a worker beside us has no answer within ``patience``, the durable way is
taken: the challenge is ``processing``, and a job sees to it.
"""

from __future__ import annotations

import asyncio

from troth.enroll.acme.model import Account, Authorization
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.validate.beside import Beside
from troth.enroll.acme.validation import ValidationJobs


class Direct:
    """See the module.

    Args:
        writing: makes questions, and writes what they come to.
        patience: seconds.
    """

    def __init__(self, orders: OrderDesk, beside: Beside, writing: ValidationJobs, *, patience: float = 0.25) -> None:
        self._orders = orders
        self._beside = beside
        self._writing = writing
        self._patience = patience
        self._under_way: set[tuple[object, str]] = set()

    async def answer(
        self, account: Account, authz: Authorization, kind: str, *, account_url: str = ""
    ) -> Authorization:
        """See :meth:`.orders.OrderDesk.answer`; the result may be in it."""
        settled = await self._at_once(account, authz, kind, account_url)
        return settled or await self._orders.answer(account, authz, kind, account_url=account_url)

    async def _at_once(
        self, account: Account, authz: Authorization, kind: str, account_url: str
    ) -> Authorization | None:
        challenge, key = authz.challenge(kind), (authz.id, kind)
        if challenge is None or authz.status != "pending" or challenge.status != "pending" or key in self._under_way:
            return None
        self._under_way.add(key)
        try:
            async with asyncio.timeout(self._patience):
                asked = await self._writing.question(account, authz, challenge, self._orders.label(kind, account_url))
                result = await self._beside.validate(asked)
        except TimeoutError:
            return None
        finally:
            self._under_way.discard(key)
        if result is None:
            return None
        return await self._writing.write(None, authz, challenge, result, label=asked.label)
