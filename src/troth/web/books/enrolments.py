"""Enrolments and ACME accounts over the rooms below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from troth.access.model import Principal
from troth.enroll.acme.account_store import AccountStore
from troth.enroll.acme.closing import Closer
from troth.enroll.acme.limit_store import Failing
from troth.enroll.acme.model import Account
from troth.enroll.acme.pausing import Pausing
from troth.enroll.credentials.apple import AppleWanted, apple_payload
from troth.enroll.credentials.errors import ENROLMENT_INVALID, EnrolmentRefused
from troth.enroll.credentials.model import Enrolment, NameRules, Wanted
from troth.enroll.credentials.service import Enrolments, Made
from troth.kit.clock import Clock
from troth.kit.ids import parse_id
from troth.store.pool import Database
from troth.trust.model import Kind as SubjectKind
from troth.trust.subjects.store import SubjectStore
from troth.trust.subjects.whom import Subjects
from troth.web.books.est import EstBook
from troth.web.enrolment_views import (
    AccountOrder,
    AccountRow,
    AccountView,
    ApplePayloadView,
    EnrolmentCommand,
    EnrolmentMade,
    EnrolmentView,
    Named,
    PausedView,
    Unpaused,
)
from troth.web.errors import MALFORMED, WebError
from troth.web.views import Page

_ORDERS_SHOWN = 50


class EnrolmentBook:
    """Enrolments: looking and handing out.

    Args:
        directories: ACME directories by name, each with the profiles that it offers.
        base: the public URL of the https listener.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        enrolments: Enrolments,
        finder: Subjects,
        directories: Mapping[str, Sequence[str]],
        base: str,
        est: EstBook,
    ) -> None:
        self._clock = clock
        self._enrolments = enrolments
        self._finder = finder
        self._subjects = SubjectStore(database)
        self._closer = Closer(database, clock)
        self._directories = directories
        self._base = base
        self._est = est
        #: Wherever an enrolment may be good.
        self._everywhere = {**directories, **est.directories}

    @property
    def directories(self) -> Mapping[str, Sequence[str]]:
        """Names of the ACME directories, and the profiles of each."""
        return self._directories

    @property
    def everywhere(self) -> Mapping[str, Sequence[str]]:
        """The same with EST's labels, as enrolments name them."""
        return self._everywhere

    async def page(self, *, kind: str = "", cursor: str = "", limit: int = 50) -> Page[EnrolmentView]:
        """The newest first."""
        found = await self._enrolments.page(before=_cursor(cursor), kind=kind, limit=limit + 1)
        views = [await self._view(one) for one in found[:limit]]
        return Page(views, str(found[limit - 1].id) if len(found) > limit else None)

    async def get(self, enrolment: UUID) -> EnrolmentView:
        """One, with how many certificates it stands behind. Raises EnrolmentRefused."""
        living = await self._closer.living("enrolment", enrolment)
        return await self._view(await self._enrolments.get(enrolment), certificates=living)

    async def create(self, command: EnrolmentCommand, by: Principal) -> EnrolmentMade:
        """Make one. Raises EnrolmentRefused for what cannot be, TrustError for a subject that is not there."""
        for name in command.directories:
            if name not in self._everywhere:
                raise EnrolmentRefused(ENROLMENT_INVALID, f"there is no directory {name[:40]!r}")
        offered = {one for name in command.directories or self._directories for one in self._everywhere[name]}
        for profile in command.profiles:
            if profile not in offered:
                raise EnrolmentRefused(
                    ENROLMENT_INVALID, f"none of these directories offers the profile {profile[:40]!r}"
                )
        wanted = Wanted(
            kind=command.kind,
            name=command.name,
            seconds=command.seconds,
            directories=command.directories,
            profiles=command.profiles,
            rules=NameRules(command.names, command.suffixes, command.networks, command.devices),
            vouches=command.vouches,
            device_id=await self._found(command.device, SubjectKind.DEVICE),
            user_id=await self._found(command.user, SubjectKind.USER),
            most_accounts=command.most_accounts,
            most_orders=command.most_orders,
        )
        if command.apple is not None:
            self._apple(command.apple, wanted, "x")  # refused before it is made
        made = await self._enrolments.create(wanted, by=by.actor)
        apple = None if command.apple is None else self._apple(command.apple, wanted, made.secret)
        return EnrolmentMade(
            enrolment=await self._view(made.enrolment),
            key_id=str(made.enrolment.id) if command.kind == "external-account" else None,
            secret=made.secret,
            directory_urls=self._urls(made),
            apple=apple,
        )

    def _apple(self, apple: AppleWanted, wanted: Wanted, secret: str) -> ApplePayloadView:
        if wanted.kind == "external-account":
            raise EnrolmentRefused(ENROLMENT_INVALID, "Apple's client knows no external account binding")
        if apple.directory not in self._directories:
            raise EnrolmentRefused(ENROLMENT_INVALID, f"there is no directory {apple.directory[:40]!r}")
        hidden = secret if wanted.kind == "directory" else ""
        client = apple.client_identifier if wanted.kind == "directory" else secret
        payload = apple_payload(
            apple, name=wanted.name, directory_url=self._url(apple.directory, hidden), client_identifier=client
        )
        return ApplePayloadView(payload.mobileconfig().decode(), payload.credential().decode())

    def _urls(self, made: Made) -> tuple[str, ...]:
        secret = made.secret if made.enrolment.kind == "directory" else ""
        wanted = made.enrolment.directories or self._directories
        return tuple(self._url(name, secret) for name in wanted if name in self._directories)

    def _url(self, name: str, secret: str) -> str:
        root = f"{self._base}/acme/{name}"
        return f"{root}/e/{secret}/directory" if secret else f"{root}/directory"

    async def _found(self, text: str, kind: SubjectKind) -> UUID | None:
        return (await self._finder.find(text, kind=kind)).id if text else None

    async def _named(self, subject: UUID | None) -> Named | None:
        if subject is None:
            return None
        found = await self._subjects.by_id(subject)
        return None if found is None else Named(found.id, found.kind.value, found.name)

    async def _view(self, one: Enrolment, *, certificates: int | None = None) -> EnrolmentView:
        return EnrolmentView(
            id=one.id,
            kind=one.kind,
            name=one.name,
            state=one.state(self._clock.now()),
            directories=one.directories,
            profiles=one.profiles,
            names=one.rules.names,
            suffixes=one.rules.suffixes,
            networks=one.rules.networks,
            devices=one.rules.devices,
            vouches=one.vouches,
            device=await self._named(one.device_id),
            user=await self._named(one.user_id),
            expires_at=one.expires_at,
            most_accounts=one.most_accounts,
            most_orders=one.most_orders,
            accounts=one.accounts,
            orders=one.orders,
            created_at=one.created_at,
            created_by=one.created_by,
            revoked_at=one.revoked_at,
            revoked_by=one.revoked_by,
            certificates=certificates,
            est_urls=self._est.urls(one.directories, one.profiles),
        )


class AccountBook:
    """ACME accounts: looking, closing, and setting clients going again that were paused."""

    def __init__(self, database: Database, clock: Clock, pausing: Pausing) -> None:
        self._clock = clock
        self._pausing = pausing
        self._store = AccountStore(database)
        self._closer = Closer(database, clock)

    async def page(
        self,
        *,
        directory: str = "",
        status: str = "",
        enrolment: UUID | None = None,
        cursor: str = "",
        limit: int = 50,
    ) -> Page[AccountRow]:
        """The newest first; ``enrolment``: those that it has opened, whatever else is asked for."""
        before = _cursor(cursor)
        if enrolment is not None:
            found = await self._store.of_enrolment(enrolment, before=before, limit=limit + 1)
        else:
            found = await self._store.page(before=before, directory=directory, status=status, limit=limit + 1)
        rows = [_row(one) for one in found[:limit]]
        return Page(rows, str(found[limit - 1].id) if len(found) > limit else None)

    async def get(self, account: UUID) -> AccountView:
        """One, with its latest orders. Raises AccountRefused."""
        found = await self._closer.get(account)
        orders = await self._store.orders(account, before=None, limit=_ORDERS_SHOWN)
        paused = await self._pausing.paused_of(account)
        row = _row(found)
        return AccountView(
            **{name: getattr(row, name) for name in row.__struct_fields__},
            orders=tuple(
                AccountOrder(
                    id=one["id"],
                    profile=one["profile"],
                    status=one["status"],
                    names=tuple(value for _, value in one["identifiers"]),
                    created_at=one["created_at"],
                    expires=one["expires"],
                    certificate_id=one["certificate_id"],
                )
                for one in orders
            ),
            paused=tuple(_paused(one) for one in paused),
            certificates=await self._closer.living("account", account),
        )

    async def unpause(self, account: UUID, by: Principal) -> Unpaused:
        """Set its paused names going again. Raises AccountRefused."""
        await self._closer.get(account)
        return Unpaused(await self._pausing.unpause(account, until=self._clock.now(), by=by.actor))

    async def paused(self, *, cursor: str = "", limit: int = 50) -> Page[PausedView]:
        """All that is paused, the latest first."""
        found = await self._pausing.paused(_place(cursor), limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        following = None if last is None or last.paused_at is None else _place_text(last.paused_at, last)
        return Page([_paused(one) for one in found[:limit]], following)


def _row(account: Account) -> AccountRow:
    return AccountRow(
        id=account.id,
        directory=account.directory,
        status=account.status,
        contact=account.contact,
        thumbprint=account.thumbprint,
        created_at=account.created_at,
        enrolment_id=account.enrolment_id,
        enrolment_kind=account.enrolment_kind,
    )


def _paused(one: Failing) -> PausedView:
    return PausedView(
        account_id=one.account_id,
        type=one.type,
        value=one.value,
        failures=one.failures,
        last_at=one.last_at,
        paused_at=one.paused_at or one.last_at,
    )


def _cursor(text: str) -> UUID | None:
    if not text:
        return None
    found = parse_id(text)
    if found is None:
        raise WebError(MALFORMED, "this cursor is none of ours")
    return found


def _place_text(moment: datetime, one: Failing) -> str:
    return f"{moment.isoformat()}_{one.account_id}_{one.value}"


def _place(text: str) -> tuple[datetime, UUID, str] | None:
    if not text:
        return None
    moment, _, rest = text.partition("_")
    identifier, _, value = rest.partition("_")
    account = parse_id(identifier)
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or account is None:
        raise WebError(MALFORMED, "this cursor is none of ours")
    return at, account, value
