"""The envelope of the ACME door: what all its resources have in common.

A request is opened here (its directory found, its signature checked), handed to a piece of work as a :class:`Case`,
and what comes of it is answered here. Every answer carries a fresh nonce and the index link (RFC 8555, sections 6.5
and 7.1), errors included. ``account_routes``, ``order_routes`` and ``certificate_routes`` hold the work; ``routes``
puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec

from troth.enroll.acme import errors
from troth.enroll.acme.accounts import belongs
from troth.enroll.acme.directories import Directory
from troth.enroll.acme.jwk import AccountKeys
from troth.enroll.acme.jws import MAX_BODY, Nonces, SignedBy, SignedRequest, open_request
from troth.enroll.acme.lately import Lately
from troth.enroll.acme.model import Account
from troth.enroll.acme.problems import AcmeProblem, as_problem, render
from troth.enroll.acme.store import AcmeStore
from troth.enroll.acme.urls import Urls
from troth.enroll.credentials.model import Enrolment
from troth.kit.errors import TrothError, trace_of
from troth.kit.ids import parse_id
from troth.kit.lane import Handler, Request, Response, Route
from troth.kit.log import get_logger

log = get_logger("acme")

Signed: TypeAlias = "SignedRequest[Account]"
#: Reads an account, and the object that the request's path names, whoever's it is.
Look: TypeAlias = Callable[[UUID, UUID], Awaitable["tuple[Account | None, Any]"]]
#: The same of what was read or written a moment ago (``lately``); None: it has to be looked up.
Loan: TypeAlias = Callable[[UUID, UUID], "tuple[Account, Any] | None"]

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Link, Replay-Nonce, Location, Retry-After"),
)
A_SECOND = (b"retry-after", b"1")
NO_ID = UUID(int=0)
#: What is said of a signature by another key than the one that was looked at.
_OTHER_KEY = frozenset({errors.JWS_SIGNATURE, errors.JWS_ALGORITHM})

#: A secret in a path as Troth makes them; nothing else of a stranger's text may come into a header.
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,128}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mount:
    """Where the resources of all directories hang.

    Attributes:
        pattern: of the root; its first parameter names the directory.
        own: how many parameters are the root's; those behind them are the resource's own (:attr:`Case.params`).
    """

    pattern: str
    own: int


#: The open root of a directory, and that of an enrolment whose secret is in the path.
OPEN = Mount("/acme/{}", 1)
ENROLLED = Mount("/acme/{}/e/{}", 2)
#: In test mode the resources that the directory names have paths that nobody can know before.
RANDOM = Mount("/acme/{}/t/{}", 2)


class Secrets(Protocol):
    """Who knows the secrets in paths: :class:`troth.enroll.credentials.service.Enrolments`."""

    async def of_secret(self, secret: str) -> Enrolment | None:
        """The enrolment whose directory has ``secret`` in its path, unless it is revoked."""
        ...


class Case(msgspec.Struct, frozen=True):
    """One authenticated request.

    Attributes:
        directory: the directory it came to.
        params: what the path's placeholders matched below the root: ``order/{}`` has one, under whichever root.
        found: what the path names, read together with the account and *not yet* held against it; None if there is
            no such thing, or the route names none.
        enrolment: whose secret the path holds; None under the open root.
    """

    request: Request
    directory: Directory
    urls: Urls
    params: tuple[str, ...]
    signed: Signed
    found: Any
    enrolment: Enrolment | None = None

    @property
    def account(self) -> Account:
        """The account that signed. Raises AcmeProblem if the request was signed by a bare key."""
        if self.signed.account is None:
            raise AcmeProblem(errors.JWS_MALFORMED, "this resource takes requests signed with kid")
        return self.signed.account


Work: TypeAlias = Callable[[Case], Awaitable[Response]]
#: Reads a resource that needs no signature.
Read: TypeAlias = Callable[[Request, Urls, Directory, "tuple[str, ...]"], Awaitable[Response]]


class Envelope:
    """See the module.

    Args:
        base: the public URL, ``https://host:port`` without a slash at the end.
        directories: by name; a path that names none is answered 404.
        secrets: of enrolments, each of which is one more root; None: there is the open root alone.
        random_paths: what the directory names can be had under paths that are new at each look, too (test mode).
        lately: what need not be looked up again; None: everything is looked up.
    """

    def __init__(
        self,
        base: str,
        directories: Mapping[str, Directory],
        store: AcmeStore,
        nonces: Nonces,
        keys: AccountKeys,
        *,
        secrets: Secrets | None = None,
        random_paths: bool = False,
        lately: Lately | None = None,
    ) -> None:
        self.random_paths = random_paths
        self.lately = lately
        self.base = base
        self.directories = directories
        self.keys = keys
        self._store = store
        self._nonces = nonces
        self._mounts = (OPEN,) if secrets is None else (OPEN, ENROLLED)
        self._secrets = secrets
        self._open = {name: Urls.of(base, name) for name in directories}
        #: The index link by root; those of enrolments are made as they are needed.
        self._indexes = {urls.root: _index(urls) for urls in self._open.values()}

    # --- routes ------------------------------------------------------------------------------------------------

    def post(
        self,
        path: str,
        work: Work,
        signed_by: SignedBy = "kid",
        *,
        look: Look | None = None,
        loan: Loan | None = None,
        max_body: int = MAX_BODY,
    ) -> list[Route]:
        """The resource at ``path``, under every root. Public: each message carries its own authentication.

        ``loan`` is asked first, and then ``look``: only of a resource whose work is guarded by what it was lent.
        """

        def route(mount: Mount) -> Route:
            def handler(request: Request) -> Awaitable[Response]:
                return self._signed(request, mount, work, signed_by, look, loan, max_body)

            return Route(f"{mount.pattern}/{path}", {"POST": handler}, permission="public", max_body=max_body)

        return [route(mount) for mount in self._mounts_of(path)]

    def get(self, path: str, read: Read) -> list[Route]:
        """A resource that is read by plain GET and by nothing else (RFC 9773, 4.1)."""
        return [
            Route(f"{mount.pattern}/{path}", {"GET": handler, "HEAD": handler}, permission="public")
            for mount, handler in ((mount, self._reading(mount, read)) for mount in self._mounts_of(path))
        ]

    def get_or_post(self, path: str, read: Read) -> list[Route]:
        """A resource that may be read by plain GET and must be readable by POST-as-GET too (RFC 8555, 6.3)."""

        def route(mount: Mount) -> Route:
            get = self._reading(mount, read)

            async def work(case: Case) -> Response:
                if not case.signed.is_post_as_get:
                    raise AcmeProblem(errors.MALFORMED, "this resource is only read: POST-as-GET has an empty payload")
                answer = await get(case.request)
                if not answer.body:
                    return answer
                return Response(answer.status, answer.body, (*answer.headers, *self.common(case.request)), answer.more)

            async def post(request: Request) -> Response:
                return await self._signed(request, mount, work, "kid", None, None, MAX_BODY)

            methods = {"GET": get, "HEAD": get, "POST": post}
            return Route(f"{mount.pattern}/{path}", methods, permission="public", max_body=MAX_BODY)

        return [route(mount) for mount in self._mounts_of(path)]

    def _mounts_of(self, path: str) -> tuple[Mount, ...]:
        named = "/" not in path or path.startswith("renewal-info/")  # else it is an object, whose URL is to last
        return (*self._mounts, RANDOM) if self.random_paths and named else self._mounts

    def _reading(self, mount: Mount, read: Read) -> Handler:
        async def handler(request: Request) -> Response:
            urls = self.urls(request)
            await self._enrolment(urls)
            return await read(request, urls, self.directories[urls.name], request.params[mount.own :])

        return handler

    # --- opening a request -------------------------------------------------------------------------------------

    def urls(self, request: Request) -> Urls:
        """The URLs of the directory that the request came to. Raises AcmeProblem if there is none."""
        urls = self._named(request.path)
        if urls is None:
            raise AcmeProblem(errors.NOT_FOUND, "there is no such directory")
        return urls

    def _named(self, path: str) -> Urls | None:
        # Only what this door made itself goes into a header: a path is a stranger's text, and may hold line ends.
        parts = path.split("/", 5)
        if len(parts) < 4 or parts[1] != "acme" or parts[2] not in self.directories:
            return None
        if self._secrets is not None and parts[3] == "e":
            if len(parts) < 6 or not _SECRET.match(parts[4]):
                return None
            return Urls.of(self.base, parts[2], parts[4])
        return self._open.get(parts[2]) or Urls.of(self.base, parts[2])

    async def _signed(
        self,
        request: Request,
        mount: Mount,
        work: Work,
        signed_by: SignedBy,
        look: Look | None,
        loan: Loan | None,
        max_body: int,
    ) -> Response:
        urls, params = self.urls(request), request.params[mount.own :]
        enrolment = await self._enrolment(urls) if urls.secret else None
        root = None if enrolment is None else enrolment.id
        found: Any = None
        lent = False

        async def find_account(rest: str) -> Account | None:
            nonlocal found, lent
            identifier = parse_id(rest)
            if identifier is None:
                return None
            known = None if loan is None or lent else loan(identifier, _named_by(params))
            lent = known is not None
            begun = 0.0 if self.lately is None else self.lately.begin()
            account: Account | None
            if known is not None:
                account, found = known
            elif look is None:
                account = await self._store.account(identifier)
            else:
                account, found = await look(identifier, _named_by(params))
            if account is not None and not lent and self.lately is not None:
                self.lately.saw(account, begun)
            if account is None or account.directory != urls.name or not belongs(account, root):
                return None
            return account

        def opened() -> Awaitable[Signed]:
            return open_request(
                request.body,
                content_type=request.headers.get("content-type"),
                url=f"{self.base}{_as_requested(request)}",
                signed_by=signed_by,
                account_prefix=urls.account_prefix,
                find_account=find_account,
                keys=self.keys,
                nonces=self._nonces,
                max_body=max_body,
            )

        try:
            signed = await opened()
        except AcmeProblem as problem:
            if not lent or problem.reason not in _OTHER_KEY:
                raise
            # The account may have another key by now. The nonce is not used up: the signature comes before it.
            signed = await opened()
        return await work(Case(request, self.directories[urls.name], urls, params, signed, found, enrolment))

    async def _enrolment(self, urls: Urls) -> Enrolment | None:
        """The enrolment whose secret the path holds. Raises AcmeProblem (404) if there is none: as for no directory."""
        if not urls.secret or self._secrets is None:
            return None
        found = await self._secrets.of_secret(urls.secret)
        if found is None or not found.opens(urls.name):
            raise AcmeProblem(errors.NOT_FOUND, "there is no such directory")
        return found

    def forget(self, account: UUID) -> None:
        """The account has changed: what was seen of it before is lent to nobody."""
        if self.lately is not None:
            self.lately.forget(account)

    # --- what every answer has in common -----------------------------------------------------------------------

    def common(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """Headers of every answer to ``request``: a nonce, the index, and for scripts leave to read them.

        Leave is given to who asks from a page (Fetch, 3.2: such a request has Origin) and to nobody else: getssl takes
        for an order's URL whatever follows the word *location* in any header, and the list of readable headers has it.
        """
        return self._common(self._named(request.path), request)

    def _common(self, urls: Urls | None, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        nonce = (b"replay-nonce", self._nonces.issue().encode())
        leave = CORS if "origin" in request.headers else ()
        if urls is None:
            return (nonce, *leave)
        return (nonce, self._indexes.get(urls.root) or _index(urls), *leave)

    def answer(
        self, case: Case, status: int, value: Any, *headers: tuple[bytes, bytes], location: str | None = None
    ) -> Response:
        """``value`` as JSON: compact and on one line, since acme.sh reads it with regular expressions."""
        where = ((b"location", location.encode()),) if location is not None else ()
        common = self._common(case.urls, case.request)
        return Response(status, msgspec.json.encode(value), (JSON, NO_STORE, *where, *headers, *common))

    def refusal(self, request: Request, status: int, detail: str) -> Response:
        """The lane's 404, 405 and 413 in ACME's words."""
        reasons = {404: errors.NOT_FOUND, 405: errors.METHOD, 413: errors.TOO_LARGE}
        return self.failed(request, AcmeProblem(reasons[status], detail))

    def failed(self, request: Request, error: Exception) -> Response:
        """Any exception as a problem document."""
        problem = as_problem(error)
        if isinstance(error, TrothError) and error.expected:
            log.warning("acme.refused", path=_shown(request.path), reason=error.code, detail=_shown(error.detail))
        elif problem.status >= 500:
            log.error("acme.failed", path=_shown(request.path), exc_info=trace_of(error))
        elif problem.type.endswith("badNonce"):
            log.debug("acme.bad_nonce", path=_shown(request.path))
        else:
            log.info(
                "acme.refused", path=_shown(request.path), reason=problem.reason.code, detail=_shown(problem.detail)
            )
        extra = ((b"retry-after", b"5"),) if problem.status == 503 else ()
        return render(problem, *self.common(request), *extra)


def _index(urls: Urls) -> tuple[bytes, bytes]:
    return (b"link", f'<{urls.directory}>;rel="index"'.encode())


def identifier_of(segment: str) -> UUID:
    """The id that a segment of a path is. Raises AcmeProblem (404) if it is none."""
    identifier = parse_id(segment)
    if identifier is None:
        raise AcmeProblem(errors.NOT_FOUND, "there is no such resource")
    return identifier


def _named_by(params: tuple[str, ...]) -> UUID:
    """The id in a path. A segment that is no id names nothing, as does a path that has none."""
    return (parse_id(params[0]) if params else None) or NO_ID


def _as_requested(request: Request) -> str:
    """Path and query as the client wrote them: that is the URL which it has signed (RFC 8555, 6.4)."""
    path = request.raw_path.decode("latin-1")
    return f"{path}?{request.query.decode('latin-1')}" if request.query else path


def _shown(text: str) -> str:
    """``text``, a path or a refusal that names a URL, without the secret that it may hold: an enrolment's, or that of
    an unpause link."""
    return re.sub(r"(/acme/(?:[^/\s]*/e|unpause)/)[^/\s]*", r"\1…", text)
