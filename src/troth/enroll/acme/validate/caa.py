"""CAA: whether the owner of a name allows this server to certify it (RFC 8659; accounturi and validationmethods of
RFC 8657).

The record set of the name itself counts, else that of its parent, and so on up to the last label; aliases are
followed at each step, but their targets' parents are not climbed (RFC 8659, 3, where RFC 6844 did). What cannot be
looked up is no permission: a name server that fails must not open what its zone closes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from troth.enroll.acme.errors import VALIDATION_CAA
from troth.enroll.acme.validate.issue_value import parse_issue_value
from troth.enroll.acme.validate.outcome import Log, NotShown

_CRITICAL = 0x80
_KNOWN = frozenset({"issue", "issuewild", "iodef", "issuemail", "contactemail", "contactphone"})


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """One record. ``tag`` is lower-case."""

    flags: int
    tag: str
    value: bytes


class CaaResolver(Protocol):
    """How CAA is looked up."""

    async def caa(self, name: str) -> list[CaaRecord]:
        """The CAA records of ``name``, aliases followed; empty if there are none, or no such name. Raises NotShown."""
        ...


@dataclass(frozen=True, slots=True)
class CaaQuestion:
    """May ``name`` be certified for this account, proved by this method?

    Attributes:
        name: A-labels, lower-case, without ``*.``.
        method: the challenge's type; empty: nothing was validated, and a zone that names methods allows none.
    """

    name: str
    wildcard: bool
    account_uri: str
    method: str


async def check_caa(question: CaaQuestion, *, issuers: Sequence[str], resolver: CaaResolver, log: Log) -> None:
    """Return if it is allowed. ``issuers``: domain names under which this server is known, lower-case.

    Raises NotShown (caa where it is forbidden, dns where it cannot be known).
    """
    labels = question.name.split(".")
    for start in range(len(labels)):
        at = ".".join(labels[start:])
        records = await resolver.caa(at)
        if records:
            log.add(f"CAA {at}", None, f"{len(records)} record(s)")
            why = forbidden(records, question, issuers)
            if why:
                raise NotShown(VALIDATION_CAA, f"CAA at {at} {why}", retryable=False)
            return
    log.add(f"CAA {question.name}", None, "no records")


def forbidden(records: Sequence[CaaRecord], question: CaaQuestion, issuers: Sequence[str]) -> str:
    """Why this record set forbids it; empty if it does not."""
    for record in records:
        if record.flags & _CRITICAL and record.tag not in _KNOWN:
            return f"has a critical property {record.tag[:40]!r} that is not understood"
    issue = [record for record in records if record.tag == "issue"]
    wild = [record for record in records if record.tag == "issuewild"]
    # For wildcards issuewild takes the place of issue wherever there is one (RFC 8659, 4.3).
    governing = (wild or issue) if question.wildcard else issue
    if not governing:
        return ""
    reasons = [_refuses(record, question, issuers) for record in governing]
    return "" if any(not reason for reason in reasons) else reasons[-1]


def _refuses(record: CaaRecord, question: CaaQuestion, issuers: Sequence[str]) -> str:
    value = parse_issue_value(record.value)
    if value is None:
        return "has a value that cannot be read, which allows nobody"
    if value.issuer not in issuers:
        return "allows another issuer" if value.issuer else "allows nobody"
    wanted = value.parameters.get("accounturi")
    if wanted is not None and wanted != question.account_uri:
        return "allows another account"
    methods = value.parameters.get("validationmethods")
    if methods is not None and question.method not in [one.strip() for one in methods.split(",") if one.strip()]:
        return f"does not allow the method {question.method or 'of an enrolment'}"
    return ""
