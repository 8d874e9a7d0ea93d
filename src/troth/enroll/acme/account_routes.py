"""Accounts over HTTP (RFC 8555, section 7.3)."""

from __future__ import annotations

from troth.enroll.acme import errors
from troth.enroll.acme.accounts import AccountDesk
from troth.enroll.acme.door import NO_ID, Case, Envelope
from troth.enroll.acme.jws import open_key_change
from troth.enroll.acme.model import Account
from troth.enroll.acme.orders import OrderDesk
from troth.enroll.acme.problems import AcmeProblem
from troth.enroll.acme.views import account_view
from troth.kit.ids import parse_id
from troth.kit.lane import Response, Route


class AccountRoutes:
    """newAccount, the account itself, its orders, keyChange."""

    def __init__(self, envelope: Envelope, accounts: AccountDesk, orders: OrderDesk) -> None:
        self._envelope = envelope
        self._accounts = accounts
        self._orders = orders

    def routes(self) -> list[Route]:
        """Their routes."""
        post = self._envelope.post
        return [
            *post("new-account", self._new_account, "jwk"),
            *post("acct/{}", self._account),
            *post("acct/{}/orders", self._orders_of),
            *post("key-change", self._key_change),
        ]

    async def _new_account(self, case: Case) -> Response:
        payload = case.signed.json()
        account, made = await self._accounts.register(
            case.signed.key, payload, case.urls, case.directory, enrolment=case.enrolment, client=case.request.client
        )
        view = account_view(account, case.urls)
        if made and "externalAccountBinding" in payload:
            view["externalAccountBinding"] = payload["externalAccountBinding"]
        return self._envelope.answer(case, 201 if made else 200, view, location=case.urls.account(account.id))

    async def _account(self, case: Case) -> Response:
        account = _own(case)
        if not case.signed.is_post_as_get:
            account = await self._accounts.update(account, case.signed.json())
            self._envelope.forget(account.id)
        return self._envelope.answer(case, 200, account_view(account, case.urls))

    async def _key_change(self, case: Case) -> Response:
        account = case.account
        account_url = case.urls.account(account.id)
        key = open_key_change(case.signed, account_url=account_url, keys=self._envelope.keys)
        account = await self._accounts.change_key(account, key, case.urls)
        self._envelope.forget(account.id)
        return self._envelope.answer(case, 200, account_view(account, case.urls))

    async def _orders_of(self, case: Case) -> Response:
        account, urls = _own(case), case.urls
        cursor = case.request.query.decode("latin-1").removeprefix("cursor=")
        found = await self._orders.orders(account, parse_id(cursor) or NO_ID)
        following: list[tuple[bytes, bytes]] = []
        page = self._orders.page
        if len(found) > page:
            url = f"{urls.orders(account.id)}?cursor={found[page - 1]}"
            following.append((b"link", f'<{url}>;rel="next"'.encode()))
        return self._envelope.answer(case, 200, {"orders": [urls.order(order) for order in found[:page]]}, *following)


def _own(case: Case) -> Account:
    account = case.account
    if str(account.id) != case.params[0]:
        raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the account URL is not the signer's")
    return account
