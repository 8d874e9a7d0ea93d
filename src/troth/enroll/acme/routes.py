"""The ACME door: one directory per profile under ``/acme/<profile>/``, on the hot lane.

Each handler opens the signed request, asks a desk, and renders. Every answer carries a fresh nonce and the index
link (RFC 8555, sections 6.5 and 7.1), errors included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from troth.enroll.acme import errors
from troth.enroll.acme.accounts import AccountDesk
from troth.enroll.acme.finalize import Finalizer
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.jws import MAX_BODY, SignedBy, SignedRequest, open_key_change, open_request
from troth.enroll.acme.model import Account, Order
from troth.enroll.acme.nonce import NonceMap
from troth.enroll.acme.orders import PAGE, OrderDesk
from troth.enroll.acme.problems import AcmeProblem, as_problem, render
from troth.enroll.acme.results import Results
from troth.enroll.acme.revoke import RevocationDesk
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.urls import Urls
from troth.enroll.acme.views import account_view, authz_view, challenge_view, order_view
from troth.kit.ids import parse_id
from troth.kit.lane import Handler, Request, Response, Route
from troth.kit.log import get_logger
from troth.pki.catalogue import Catalogue
from troth.pki.cross import preferred
from troth.pki.pem import pem_chain
from troth.pki.store import CertificateStore

log = get_logger("acme")

Signed: TypeAlias = "SignedRequest[Account]"
#: Reads an account, and the object that the request's path names, whoever's it is.
Look: TypeAlias = Callable[[UUID, UUID], Awaitable["tuple[Account | None, Any]"]]

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Link, Replay-Nonce, Location, Retry-After"),
)
_ZERO = UUID(int=0)
_A_SECOND = (b"retry-after", b"1")


@dataclass(frozen=True, slots=True)
class Case:
    """One authenticated request.

    Attributes:
        found: what the path names, read together with the account and *not yet* held against it; None if there is
            no such thing, or the route names none.
    """

    request: Request
    urls: Urls
    signed: Signed
    found: Any


Work: TypeAlias = Callable[[Case], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Directory:
    """What one directory says of itself."""

    profile: str
    description: str


@dataclass(frozen=True, slots=True)
class Desks:
    """Who does the work behind the door."""

    accounts: AccountDesk
    orders: OrderDesk
    finalizer: Finalizer
    revocations: RevocationDesk
    results: Results
    store: AcmeStore
    certificates: CertificateStore
    catalogue: Catalogue
    preferred_chain: str = ""


class AcmeDoor:
    """Routes of all directories.

    Args:
        base: the public URL, ``https://host:port`` without a slash at the end.
        directories: by profile name; a path that names no directory is answered 404.
        meta: further members of every directory's ``meta`` (``termsOfService``, ``website``).
    """

    def __init__(
        self,
        base: str,
        directories: Mapping[str, Directory],
        desks: Desks,
        nonces: NonceMap,
        keys: AccountKeys,
        *,
        meta: Mapping[str, str] | None = None,
    ) -> None:
        self._base = base
        self._directories = directories
        self._desks = desks
        self._nonces = nonces
        self._keys = keys
        self._meta = dict(meta or {})
        self._index = {
            profile: (b"link", f'<{Urls(base, profile).directory}>;rel="index"'.encode()) for profile in directories
        }

    def routes(self) -> list[Route]:
        """All routes. They are public: each message carries its own authentication."""

        def post(path: str, work: Work, signed_by: SignedBy = "kid", *, look: Look | None = None) -> Route:
            async def handler(request: Request) -> Response:
                return await self._signed(request, work, signed_by, look)

            return Route(f"/acme/{{}}/{path}", {"POST": handler}, permission="public", max_body=MAX_BODY)

        store = self._desks.store
        return [
            self._read_or_post("directory", self._directory),
            self._read_or_post("new-nonce", self._new_nonce),
            post("new-account", self._new_account, "jwk"),
            post("acct/{}", self._account),
            post("acct/{}/orders", self._orders),
            post("key-change", self._key_change),
            post("new-order", self._new_order),
            post("order/{}", self._order, look=store.account_and_order),
            post("order/{}/finalize", self._finalize, look=store.account_and_order),
            post("authz/{}", self._authz, look=store.account_and_authorization),
            post("chall/{}/{}", self._challenge, look=store.account_and_authorization),
            post("cert/{}", self._certificate, look=store.account_and_orderer),
            post("cert/{}/{}", self._certificate, look=store.account_and_orderer),
            post("revoke-cert", self._revoke, "either"),
        ]

    def _read_or_post(self, path: str, read: Handler) -> Route:
        """A resource that may be read by plain GET and must be readable by POST-as-GET too (RFC 8555, 6.3)."""

        async def work(case: Case) -> Response:
            if not case.signed.is_post_as_get:
                raise AcmeProblem(errors.MALFORMED, "this resource is only read: POST-as-GET has an empty payload")
            answer = await read(case.request)
            return replace(answer, headers=(*answer.headers, *self._common(case.request))) if answer.body else answer

        async def post(request: Request) -> Response:
            return await self._signed(request, work, "kid")

        return Route(
            f"/acme/{{}}/{path}", {"GET": read, "HEAD": read, "POST": post}, permission="public", max_body=MAX_BODY
        )

    # --- what every answer has in common -----------------------------------------------------------------------

    def refusal(self, request: Request, status: int, detail: str) -> Response:
        """The lane's 404, 405 and 413 in ACME's words."""
        reasons = {404: errors.NOT_FOUND, 405: errors.METHOD, 413: errors.TOO_LARGE}
        return self.failed(request, AcmeProblem(reasons[status], detail))

    def failed(self, request: Request, error: Exception) -> Response:
        """Any exception as a problem document."""
        problem = as_problem(error)
        if problem.status >= 500:
            log.error("acme.failed", path=request.path, exc_info=error)
        elif problem.type.endswith("badNonce"):
            log.debug("acme.bad_nonce", path=request.path)
        else:
            log.info("acme.refused", path=request.path, reason=problem.reason.code, detail=problem.detail)
        extra = ((b"retry-after", b"5"),) if problem.status == 503 else ()
        return render(problem, *self._common(request), *extra)

    def _common(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        nonce = (b"replay-nonce", self._nonces.issue().encode())
        # Only what this door made itself goes into a header: a path is a stranger's text, and may hold line ends.
        profile = request.path.removeprefix("/acme/").partition("/")[0]
        index = self._index.get(profile)
        return (nonce, *_CORS) if index is None else (nonce, index, *_CORS)

    def _answer(
        self, case: Case, status: int, value: Any, *headers: tuple[bytes, bytes], location: str | None = None
    ) -> Response:
        where = ((b"location", location.encode()),) if location is not None else ()
        common = self._common(case.request)
        return Response(status, msgspec.json.encode(value), (_JSON, _NO_STORE, *where, *headers, *common))

    async def _signed(self, request: Request, work: Work, signed_by: SignedBy, look: Look | None = None) -> Response:
        urls = self._urls(request)
        found: Any = None

        async def find_account(rest: str) -> Account | None:
            nonlocal found
            identifier = parse_id(rest)
            if identifier is None:
                return None
            if look is None:
                account = await self._desks.store.account(identifier)
            else:
                # A segment that is no id names nothing.
                account, found = await look(identifier, parse_id(request.params[1]) or _ZERO)
            return account if account is not None and account.profile == urls.profile else None

        signed = await open_request(
            request.body,
            content_type=request.headers.get("content-type"),
            url=f"{self._base}{_as_requested(request)}",
            signed_by=signed_by,
            account_prefix=urls.account_prefix,
            find_account=find_account,
            keys=self._keys,
            nonces=self._nonces,
        )
        return await work(Case(request, urls, signed, found))

    def _urls(self, request: Request) -> Urls:
        profile = request.params[0]
        if profile not in self._directories:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such directory")
        return Urls(self._base, profile)

    # --- reading without a signature ---------------------------------------------------------------------------

    async def _directory(self, request: Request) -> Response:
        urls = self._urls(request)
        directory = self._directories[urls.profile]
        value = {
            "newNonce": urls.at("new-nonce"),
            "newAccount": urls.at("new-account"),
            "newOrder": urls.at("new-order"),
            "revokeCert": urls.at("revoke-cert"),
            "keyChange": urls.at("key-change"),
            "meta": {**self._meta, "profiles": {directory.profile: directory.description}},
        }
        return Response(200, msgspec.json.encode(value), (_JSON, _NO_STORE, *_CORS))

    async def _new_nonce(self, request: Request) -> Response:
        self._urls(request)
        return Response(200 if request.method == "HEAD" else 204, b"", (_NO_STORE, *self._common(request)))

    # --- accounts ----------------------------------------------------------------------------------------------

    async def _new_account(self, case: Case) -> Response:
        account, made = await self._desks.accounts.register(case.signed.key, case.signed.json(), case.urls)
        return self._answer(
            case, 201 if made else 200, account_view(account, case.urls), location=case.urls.account(account.id)
        )

    async def _account(self, case: Case) -> Response:
        account = _own(case)
        if not case.signed.is_post_as_get:
            account = await self._desks.accounts.update(account, case.signed.json())
        return self._answer(case, 200, account_view(account, case.urls))

    async def _key_change(self, case: Case) -> Response:
        account = _account_of(case)
        key = open_key_change(case.signed, account_url=case.urls.account(account.id), keys=self._keys)
        account = await self._desks.accounts.change_key(account, key, case.urls)
        return self._answer(case, 200, account_view(account, case.urls))

    async def _orders(self, case: Case) -> Response:
        account, urls = _own(case), case.urls
        cursor = case.request.query.decode("latin-1").removeprefix("cursor=")
        found = await self._desks.orders.orders(account, parse_id(cursor) or _ZERO)
        following: list[tuple[bytes, bytes]] = []
        if len(found) > PAGE:
            url = f"{urls.orders(account.id)}?cursor={found[PAGE - 1]}"
            following.append((b"link", f'<{url}>;rel="next"'.encode()))
        return self._answer(case, 200, {"orders": [urls.order(order) for order in found[:PAGE]]}, *following)

    # --- orders ------------------------------------------------------------------------------------------------

    async def _new_order(self, case: Case) -> Response:
        applied = self._desks.catalogue.profiles.get(case.urls.profile)
        if applied is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such directory any more")
        longest = applied.profile.max_lifetime - applied.profile.backdate
        order = await self._desks.orders.place(_account_of(case), case.signed.json(), longest=longest)
        return self._answer(case, 201, order_view(order, case.urls), location=case.urls.order(order.id))

    async def _order(self, case: Case) -> Response:
        order = self._desks.orders.order(_account_of(case), case.found)
        return self._order_answer(case, await self._desks.finalizer.recovered(order))

    async def _finalize(self, case: Case) -> Response:
        account = _account_of(case)
        order = self._desks.orders.order(account, case.found)
        order = await self._desks.finalizer.finalize(account, order, case.signed.json(), client=case.request.client)
        return self._order_answer(case, order)

    def _order_answer(self, case: Case, order: Order) -> Response:
        waiting = (_A_SECOND,) if order.status == "processing" else ()
        return self._answer(case, 200, order_view(order, case.urls), *waiting, location=case.urls.order(order.id))

    async def _authz(self, case: Case) -> Response:
        account = _account_of(case)
        authz = self._desks.orders.authorization(account, case.found)
        if not case.signed.is_post_as_get:
            if case.signed.json().get("status") != "deactivated":
                raise AcmeProblem(errors.MALFORMED, "an authorization can only be deactivated")
            authz = await self._desks.orders.deactivate(account, authz)
        # Said only where a try has failed and the next is due: a first validation takes milliseconds, and a client
        # that is told a second waits it out.
        failing = authz.status == "pending" and any(challenge.error for challenge in authz.challenges)
        waiting = (_A_SECOND,) if failing else ()
        return self._answer(case, 200, authz_view(authz, case.urls), *waiting)

    async def _challenge(self, case: Case) -> Response:
        account, urls, kind = _account_of(case), case.urls, case.request.params[2]
        authz = self._desks.orders.authorization(account, case.found)
        if not case.signed.is_post_as_get:
            case.signed.json()  # a response object, empty for these types (erratum 5729); members are ignored
            authz = await self._desks.orders.answer(account, authz, kind)
            authz = await self._desks.results.of(authz)
        challenge = authz.challenge(kind)
        if challenge is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such challenge")
        # python-acme raises without the "up" link.
        up = (b"link", f'<{urls.authz(authz.id)}>;rel="up"'.encode())
        # lego polls every five seconds unless this answer says otherwise.
        waiting = (_A_SECOND,) if challenge.status == "processing" else ()
        return self._answer(
            case, 200, challenge_view(authz, challenge, urls), up, *waiting, location=urls.challenge(authz.id, kind)
        )

    # --- certificates ------------------------------------------------------------------------------------------

    async def _certificate(self, case: Case) -> Response:
        account, orderer = _account_of(case), case.found
        if orderer is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such certificate")
        if orderer != account.id:
            raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the certificate belongs to another account")
        certificate_id = _id(case.request.params[1])
        record = await self._desks.certificates.by_id(certificate_id)
        if record is None or record.der is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such certificate")
        chains = preferred(self._desks.catalogue.chains(record.authority), self._desks.preferred_chain)
        wanted = case.request.params[2] if len(case.request.params) > 2 else "0"
        if not wanted.isascii() or not wanted.isdecimal() or len(wanted) > 2 or int(wanted) >= len(chains):
            raise AcmeProblem(errors.NOT_FOUND, "there is no such chain")
        place = int(wanted)
        # RFC 8555, 7.4.2: the other chains of the same certificate.
        urls = case.urls
        others = tuple(
            (b"link", f'<{urls.certificate(certificate_id, one)}>;rel="alternate"'.encode())
            for one in range(len(chains))
            if one != place
        )
        kind = (b"content-type", b"application/pem-certificate-chain")
        headers = (kind, _NO_STORE, *others, *self._common(case.request))
        return Response(200, pem_chain([record.der, *chains[place]]), headers)

    async def _revoke(self, case: Case) -> Response:
        await self._desks.revocations.revoke(case.signed.account, case.signed.key, case.signed.json())
        return Response(200, b"", (_NO_STORE, *self._common(case.request)))


def _as_requested(request: Request) -> str:
    """Path and query as the client wrote them: that is the URL which it has signed (RFC 8555, 6.4)."""
    path = request.raw_path.decode("latin-1")
    return f"{path}?{request.query.decode('latin-1')}" if request.query else path


def _account_of(case: Case) -> Account:
    if case.signed.account is None:
        raise AcmeProblem(errors.JWS_MALFORMED, "this resource takes requests signed with kid")
    return case.signed.account


def _own(case: Case) -> Account:
    account = _account_of(case)
    if str(account.id) != case.request.params[1]:
        raise AcmeProblem(errors.ACCOUNT_FOREIGN, "the account URL is not the signer's")
    return account


def _id(segment: str) -> UUID:
    identifier = parse_id(segment)
    if identifier is None:
        raise AcmeProblem(errors.NOT_FOUND, "there is no such resource")
    return identifier
