"""A secret split among custodians: SLIP-39 words, k of n, in groups.

The scheme is SLIP-39 (Shamir's over GF(256), twice: the secret among groups, each group's part among its members),
so any tool that knows it can put a secret together should this program be lost. What is split is one octet with the
secret's length, the secret, and zeroes up to an even number of octets of at least 16. There is no passphrase.

Fewer shares than needed tell nothing, not even to somebody with unlimited computing power. A group that needs one
member has the same words for each of its members (SLIP-39 knows no 1-of-n with several members).

Beside the shares goes a list without secrets (:class:`ShareSet`): who has one, how many are needed, and for each share
a digest. A share has more than 128 random bits, so that its digest gives nothing away; with it a share that is well
formed and yet wrong is laid at its custodian's door, which SLIP-39 alone cannot do.

What Python cannot promise: the words pass through immutable ``str`` and ``bytes`` of the interpreter and the library,
which cannot be overwritten and live in this process's memory until it is used for something else. What is ours is a
``bytearray`` and is zeroed; the process itself writes no core dump and is short-lived.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import msgspec

from troth.pki.ceremony.errors import (
    EXTRA,
    SHARE_MISSING,
    SHARE_PLAN,
    SHARE_SET,
    SHARE_WRONG,
    CeremonyFailed,
    SharesRefused,
)
from troth.pki.ceremony.plan import Custodians

MAX_SECRET = 64
_LEAST = 16
_FORMAT = "troth-shares-1"
_MAX_WORDS = 80


class Holder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A custodian in the list; ``digest`` is of the share, with the set's id and the name."""

    name: str
    digest: bytes


class HolderGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group in the list."""

    name: str
    threshold: int
    holders: tuple[Holder, ...]


class ShareSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has shares of one secret; nothing in it is secret.

    Attributes:
        format: ``troth-shares-1``.
        set_id: 16 random octets in hex.
        purpose: what the secret opens, in words.
        groups_needed: how many of ``groups`` must be complete.
    """

    format: str
    set_id: str
    purpose: str
    groups_needed: int
    groups: tuple[HolderGroup, ...]

    def encode(self) -> bytes:
        """JSON, for ``shares.json``."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> ShareSet:
        """Raises SharesRefused."""
        try:
            found = msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise SharesRefused(SHARE_SET, str(error)[:200]) from error
        sizes = [(group.threshold, len(group.holders)) for group in found.groups]
        known = found.format == _FORMAT and all(1 <= needed <= size <= 16 for needed, size in sizes)
        if not known or not 1 <= found.groups_needed <= len(sizes) <= 16:
            raise SharesRefused(SHARE_SET, "not a list of shares")
        return found

    def find(self, custodian: str) -> tuple[HolderGroup, Holder]:
        """The custodian's group and entry. Raises SharesRefused."""
        for group in self.groups:
            for holder in group.holders:
                if holder.name == custodian:
                    return group, holder
        raise SharesRefused(SHARE_WRONG, f"{custodian[:80]!r} has no share of this secret", custodian=custodian)


@dataclass(frozen=True, slots=True)
class Share:
    """What one custodian is given."""

    group: str
    custodian: str
    recipient: str
    words: str


def library() -> ModuleType:
    """shamir-mnemonic, imported when shares are first needed. Raises CeremonyFailed."""
    try:
        return import_module("shamir_mnemonic")
    except ImportError as error:
        raise CeremonyFailed(EXTRA, "shamir-mnemonic") from error


def check_custodians(custodians: Custodians) -> None:
    """Raise SharesRefused for a split under which one person could act alone, or that cannot be made."""
    names = [member.name.casefold() for group in custodians.groups for member in group.members]
    recipients = [member.recipient for group in custodians.groups for member in group.members]
    groups = [group.name.casefold() for group in custodians.groups]
    for what, listed in (("custodian", names), ("recipient", recipients), ("group", groups)):
        double = next((one for one in listed if listed.count(one) > 1), None)
        if double is not None:
            raise SharesRefused(SHARE_PLAN, f"{what} {double[:80]!r} stands twice; a custodian has one share")
    needed = custodians.groups_needed or len(custodians.groups)
    if needed > len(custodians.groups):
        raise SharesRefused(SHARE_PLAN, f"{needed} groups are needed and {len(custodians.groups)} named")
    for group in custodians.groups:
        if group.threshold > len(group.members):
            raise SharesRefused(SHARE_PLAN, f"group {group.name!r} needs more members than it has")
    fewest = sum(sorted(group.threshold for group in custodians.groups)[:needed])
    if fewest < 2:
        raise SharesRefused(SHARE_PLAN, "one custodian alone could open it")


def split(secret: bytes | bytearray, custodians: Custodians, purpose: str) -> tuple[ShareSet, list[Share]]:
    """``secret`` (1 to 64 octets) as shares for ``custodians``. Raises SharesRefused.

    The shares are put together again before they are given to anybody.
    """
    check_custodians(custodians)
    if not 1 <= len(secret) <= MAX_SECRET:
        raise SharesRefused(SHARE_PLAN, f"a secret has 1 to {MAX_SECRET} octets")
    padded = bytearray((len(secret),)) + secret
    padded += bytes(max(_LEAST - len(padded), len(padded) % 2))
    shapes = [(g.threshold, len(g.members) if g.threshold > 1 else 1) for g in custodians.groups]
    needed = custodians.groups_needed or len(custodians.groups)
    made = library().generate_mnemonics(needed, shapes, bytes(padded), iteration_exponent=0)
    wipe(padded)
    set_id = secrets.token_hex(16)
    shares, groups = [], []
    for group, words in zip(custodians.groups, made, strict=True):
        holders = []
        for place, member in enumerate(group.members):
            mine = words[place if group.threshold > 1 else 0]
            shares.append(Share(group.name, member.name, member.recipient, mine))
            holders.append(Holder(member.name, _digest(set_id, member.name, mine)))
        groups.append(HolderGroup(group.name, group.threshold, tuple(holders)))
    listed = ShareSet(_FORMAT, set_id, purpose, needed, tuple(groups))
    again = combine(listed, {share.custodian: share.words for share in shares})
    if not hmac.compare_digest(again, secret):
        raise SharesRefused(SHARE_PLAN, "the shares do not give the secret back")
    wipe(again)
    return listed, shares


def tidy(words: str) -> str:
    """Words as SLIP-39 has them: lower-case, one space apart."""
    return " ".join(words.lower().split())


def check_share(listed: ShareSet, custodian: str, words: str) -> None:
    """Raise SharesRefused unless these are the custodian's own words; says what is wrong with them."""
    _, holder = listed.find(custodian)
    words = tidy(words)
    if hmac.compare_digest(holder.digest, _digest(listed.set_id, custodian, words)):
        return
    for group in listed.groups:
        for other in group.holders:
            if hmac.compare_digest(other.digest, _digest(listed.set_id, other.name, words)):
                detail = f"{custodian}: this is the share of {other.name}; a custodian gives his own"
                raise SharesRefused(SHARE_WRONG, detail, custodian=custodian)
    raise SharesRefused(SHARE_WRONG, f"{custodian}: {_fault(words)}", custodian=custodian)


def whose(listed: ShareSet, words: str) -> str | None:
    """The custodian whose words these are; of equal words of a group of one, the first."""
    words = tidy(words)
    for group in listed.groups:
        for holder in group.holders:
            if hmac.compare_digest(holder.digest, _digest(listed.set_id, holder.name, words)):
                return holder.name
    return None


def missing(listed: ShareSet, given: Iterable[str]) -> Mapping[str, int]:
    """How many shares are wanting, by group; empty when the custodians in ``given`` suffice."""
    present = set(given)
    wanting = {
        group.name: max(0, group.threshold - sum(holder.name in present for holder in group.holders))
        for group in listed.groups
    }
    if sum(not count for count in wanting.values()) >= listed.groups_needed:
        return {}
    return {name: count for name, count in wanting.items() if count}


def combine(listed: ShareSet, words: Mapping[str, str]) -> bytearray:
    """The secret, from words by custodian. Raises SharesRefused: wrong words first, then too few of them."""
    for custodian, mine in words.items():
        check_share(listed, custodian, mine)
    wanting = missing(listed, words)
    if wanting:
        told = ", ".join(f"{count} of {name}" for name, count in wanting.items())
        raise SharesRefused(SHARE_MISSING, f"still needed: {told}", missing=dict(wanting))
    chosen: list[list[str]] = []
    for group in listed.groups:
        given = [tidy(words[holder.name]) for holder in group.holders if holder.name in words][: group.threshold]
        if len(given) == group.threshold and len(chosen) < listed.groups_needed:
            chosen.append(given)
    slip39 = library()
    try:
        padded = bytearray(slip39.combine_mnemonics([share for part in chosen for share in part]))
    except (slip39.MnemonicError, ValueError) as error:
        raise SharesRefused(SHARE_WRONG, f"the shares do not fit together: {error}") from error
    size = padded[0]
    if not 1 <= size <= MAX_SECRET or size + 1 > len(padded) or any(padded[size + 1 :]):
        wipe(padded)
        raise SharesRefused(SHARE_WRONG, "the shares give something that was not split here")
    secret = padded[1 : size + 1]
    wipe(padded)
    return secret


def wipe(secret: bytearray) -> None:
    """Overwrite ``secret`` with zeroes."""
    secret[:] = bytes(len(secret))


def _digest(set_id: str, custodian: str, words: str) -> bytes:
    return hashlib.sha256(f"troth share\n{set_id}\n{custodian}\n{words}".encode()).digest()


def _fault(words: str) -> str:
    slip39 = library()
    listed = words.split()
    if len(listed) > _MAX_WORDS:
        return f"{len(listed)} words are too many"
    unknown: Sequence[int] = [
        place for place, word in enumerate(listed, 1) if word not in slip39.wordlist.WORD_INDEX_MAP
    ]
    if unknown:
        return f"word {unknown[0]} is not in the list of words"
    try:
        slip39.Share.from_mnemonic(words)
    except (slip39.MnemonicError, ValueError):
        return "the words do not belong together; one was misread, or they are out of order"
    return "these are well-formed words of another secret, or made up"
