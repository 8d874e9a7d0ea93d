"""Settings of limits: the section ``[limits]``. See ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Most = Annotated[int, Meta(ge=0)]


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ACME clients may ask for, and how long those that never succeed are borne with. 0 switches a limit off."""

    enabled: Annotated[bool, Meta(description="False: no limit of this section counts, and nobody is paused.")] = True
    accounts_per_network: Annotated[
        Most,
        Meta(
            description="New accounts within an hour from one IPv4 address or IPv6 /64. Accounts that an enrolment "
            "vouches for are not counted."
        ),
    ] = 500
    orders_per_account: Annotated[Most, Meta(description="New orders of one account within an hour.")] = 3_000
    orders_per_enrolment: Annotated[
        Most, Meta(description="New orders of all accounts of one enrolment within an hour.")
    ] = 0
    orders_per_domain: Annotated[
        Most, Meta(description="New orders within a day that name a registered domain, whoever asks.")
    ] = 0
    domain_suffixes: Annotated[
        tuple[str, ...],
        Meta(
            description="DNS suffixes below which each label is a registered domain of its own: with `corp.example`, "
            "`a.sales.corp.example` counts for `sales.corp.example`. Elsewhere it is the last two labels."
        ),
    ] = ()
    duplicates: Annotated[
        Most, Meta(description="New orders of one account for exactly the same names within a day.")
    ] = 50
    free_failures: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Failed validations in a row, of one account for one name, that cost no wait. From the next on "
            "the wait before a new order is a minute, and doubles.",
        ),
    ] = 5
    longest_wait_seconds: Annotated[
        int, Meta(ge=60, le=7 * 86_400, description="The longest of these waits.", extra={"unit": "seconds"})
    ] = 3600
    pause_after: Annotated[
        Most,
        Meta(
            description="Failed validations in a row after which the name is paused for this account, until somebody "
            "opens the link in the refusal, or an operator sets it going again."
        ),
    ] = 50
    unpause_link_seconds: Annotated[
        int, Meta(ge=3600, description="For how long such a link is good.", extra={"unit": "seconds"})
    ] = 14 * 86_400
    help_url: Annotated[
        str,
        Meta(
            description="Page about limits that refusals link to. Empty: none.", pattern=r"\A(https?://[^\s<>\"]+)?\Z"
        ),
    ] = ""
