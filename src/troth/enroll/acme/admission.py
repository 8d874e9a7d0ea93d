"""What newOrder asks before it places an order: may this account have these names now, and which need no proof?

One narrow port between orders and all that stands around them: enrolments (names that were promised to an account, and
names that are vouched for), limits, and clients that are paused. :meth:`Admission.admit` decides on what is in memory
alone, so that an order of an enrolled account costs no statement more than another; what must still hold when the
order is committed is added to its unit by :meth:`Admission.guard`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from uuid import UUID

import msgspec

from troth.enroll.acme import errors
from troth.enroll.acme.limits import Meters, registered_domain
from troth.enroll.acme.model import Account
from troth.enroll.acme.pausing import Pausing
from troth.enroll.acme.problems import AcmeProblem, Identifier, compound
from troth.enroll.credentials.model import Enrolment
from troth.enroll.credentials.service import Enrolments, Grant, granted
from troth.kit.clock import Clock
from troth.store.unit import Unit
from troth.trust.model import Subject
from troth.trust.subjects.store import SubjectStore

#: Types of identifier that an operator's word can stand for; a device is always asked to prove itself.
_VOUCHED = frozenset({"dns", "ip"})
_PERMANENT = "permanent-identifier"


class Failing(Exception):
    """The account has failed too often for one of the names; see :meth:`Admission.problem`."""


class Admitted(msgspec.Struct, frozen=True):
    """An order that may be placed.

    Attributes:
        grant: of the account's enrolment, if it has one.
        vouched: identifiers that need no proof.
        once: one-time client identifiers among the order's, each with its enrolment: they are used up by the order.
    """

    grant: Grant | None
    vouched: frozenset[Identifier] = frozenset()
    once: Mapping[Identifier, Enrolment] = field(default_factory=dict)


class Admission:
    """See the module. ``suffixes``: DNS suffixes below which each label counts as a registered domain."""

    def __init__(
        self,
        enrolments: Enrolments,
        meters: Meters,
        pausing: Pausing,
        subjects: SubjectStore,
        clock: Clock,
        *,
        suffixes: frozenset[str] = frozenset(),
    ) -> None:
        self._enrolments = enrolments
        self._meters = meters
        self._pausing = pausing
        self._subjects = subjects
        self._clock = clock
        self._suffixes = suffixes

    # --- newOrder ----------------------------------------------------------------------------------------------

    async def admit(
        self, account: Account, names: Sequence[Identifier], profile: str | None, *, exempt: bool = False
    ) -> Admitted:
        """May ``account`` order ``names``? Raises AcmeProblem, with a subproblem for each name that is refused.

        ``profile`` None: there is no order yet. ``exempt``: the order replaces a certificate in its renewal window,
        which no limit may stop (RFC 9773, 5).
        """
        grant = None if account.enrolment_id is None else await self._enrolments.grant(account.enrolment_id)
        once = await self._once(account, names, profile)
        if grant is not None:
            self._allowed(grant, names, profile, once)
        if not exempt:
            self._charge(account, names)
        vouches = grant is not None and grant.vouches
        return Admitted(grant, frozenset(name for name in names if vouches and name.type in _VOUCHED), once)

    def guard(self, unit: Unit, account: Account, admitted: Admitted, unproved: Sequence[Identifier]) -> Unit:
        """Let ``unit`` place the order only if all still holds.

        The commit raises :class:`Failing` if the account has to wait for one of the names in ``unproved``.
        """
        if admitted.grant is not None:
            self._enrolments.ordering(unit, admitted.grant)
        for name, enrolment in admitted.once.items():
            self._enrolments.taking(unit, enrolment, _spent(name))
        return self._pausing.watch(unit, account.id, unproved, Failing())

    async def problem(self, account: Account, names: Sequence[Identifier]) -> AcmeProblem:
        """What the client is told when the commit raised :class:`Failing`."""
        found = await self._pausing.problem(account.id, names)
        self._meters.count("paused" if found is not None and found.reason is errors.PAUSED else "failing")
        return found or AcmeProblem(errors.FAILING, headers=((b"retry-after", b"1"),))

    # --- later -------------------------------------------------------------------------------------------------

    def settled(self, unit: Unit, account: UUID, name: Identifier, *, valid: bool) -> Unit:
        """Let ``unit``, which ends a validation, count its failure or forget the earlier ones."""
        return (self._pausing.succeeded if valid else self._pausing.failed)(unit, account, name)

    async def subject(self, account: Account) -> Subject | None:
        """In whose name the account acts: the device of its enrolment, or else the user. None: its names tell.

        Raises AcmeProblem when he is gone.
        """
        if account.enrolment_id is None:
            return None
        grant = await self._enrolments.grant(account.enrolment_id)
        bound = grant.device_id or grant.user_id
        if bound is None:
            return None
        found = await self._subjects.by_id(bound)
        present = None if found is None else await self._subjects.find(found.kind, found.name)
        if found is None or present is None or present.id != found.id:
            raise AcmeProblem(
                errors.DECISION_REFUSED, "whom this enrolment was made for is not in the directory any more"
            )
        return found

    # --- inside ------------------------------------------------------------------------------------------------

    async def _once(
        self, account: Account, names: Sequence[Identifier], profile: str | None
    ) -> dict[Identifier, Enrolment]:
        """The one-time client identifiers among ``names``. Raises AcmeProblem for one that is no good any more."""
        found = {}
        for name in names:
            if name.type != _PERMANENT:
                continue
            enrolment = await self._enrolments.of_client_identifier(name.value)
            if enrolment is None:
                continue  # a device's own identifier: its attestation must show it
            fits = enrolment.opens(account.directory) and (profile is None or granted(enrolment).may_order(profile))
            if not fits or enrolment.state(self._clock.now()) != "valid":
                raise _spent(name)
            found[name] = enrolment
        return found

    def _allowed(
        self, grant: Grant, names: Sequence[Identifier], profile: str | None, once: Collection[Identifier]
    ) -> None:
        if profile is not None and not grant.may_order(profile):
            raise AcmeProblem(
                errors.PROFILE_FORBIDDEN, f"this account's enrolment does not allow the profile {profile}"
            )
        refused = [
            AcmeProblem(errors.IDENTIFIER_REJECTED, "this account's enrolment does not cover it", identifier=name)
            for name in names
            if name not in once and not grant.covers(name.type, name.value)
        ]
        if refused:
            raise compound(refused)

    def _charge(self, account: Account, names: Sequence[Identifier]) -> None:
        charges = [("orders_per_account", str(account.id))]
        if account.enrolment_id is not None:
            charges.append(("orders_per_enrolment", str(account.enrolment_id)))
        if self._meters.limited("orders_per_domain"):
            domains = {registered_domain(name.value, self._suffixes) for name in names if name.type == "dns"}
            charges += [("orders_per_domain", domain) for domain in sorted(domains)]
        if self._meters.limited("duplicates"):
            text = "\n".join(f"{name.type}:{name.value}" for name in names)
            charges.append(("duplicates", f"{account.id}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"))
        self._meters.take(charges)


def _spent(name: Identifier) -> AcmeProblem:
    detail = "this client identifier has been used, is not good here, or is not good any more"
    return compound([AcmeProblem(errors.IDENTIFIER_REJECTED, detail, identifier=name)])
