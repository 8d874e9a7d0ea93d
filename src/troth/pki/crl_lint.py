"""Is this CRL well made? Our own assertions on header and entries, and pkilint on both.

The assertions are those that CAs have been bitten by (Boulder keeps twenty such lints of its own, for the same
reason): reason codes that must not be written, an empty list where none belongs, extensions that nobody reads, a
delta that nobody asked for. They read bytes, not objects, so 500 entries take a few milliseconds; pkilint takes a
quarter of a millisecond for each entry, so on the way to a signature it sees fewer where a revocation waits.

What is linted before signing wears a dummy signature and holds at most 500 entries, drawn from all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from troth.pki import der
from troth.pki.crl_der import entries_of
from troth.pki.der import DerError, Reader
from troth.pki.errors import LINT_REFUSED, LintRefused
from troth.pki.lint_full import STOPPING, Finding

#: Entries that are looked at before a CRL is signed: of one on schedule, and of one for which somebody waits (pkilint
#: sees the first few of those).
SAMPLE, PKILINT_ON_CHANGE = 500, 20
#: thisUpdate to nextUpdate: a year and the slack of a ceremony's calendar.
LONGEST = timedelta(days=400)

_AKI, _NUMBER, _DELTA, _POINT, _FRESHEST = "2.5.29.35", "2.5.29.20", "2.5.29.27", "2.5.29.28", "2.5.29.46"
_REASON, _INVALIDITY = "2.5.29.21", "2.5.29.24"
#: Extension → whether it must be critical (RFC 5280, 5.2).
_KNOWN = {_AKI: False, _NUMBER: False, _DELTA: True, _POINT: True, _FRESHEST: False}
_REMOVE = 8
#: keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold,
#: removeFromCRL, privilegeWithdrawn. unspecified is written by leaving the extension out (5.3.1); 10 is for attributes.
_REASONS = frozenset({1, 2, 3, 4, 5, 6, _REMOVE, 9})


@dataclass(frozen=True, slots=True)
class CrlExpected:
    """What the builder meant. ``point``: URL of its distribution point; None where it covers all."""

    delta: bool
    point: str | None


def lint_crl(crl: bytes, expected: CrlExpected | None = None, *, pkilint_entries: int = SAMPLE) -> list[Finding]:
    """Raise LintRefused for findings of severity notice or above; return the rest."""
    found = crl_findings(crl, expected, pkilint_entries=pkilint_entries)
    bad = [one for one in found if one.severity in STOPPING]
    if bad:
        listed = [f"{one.code} at {one.where}" for one in bad]
        raise LintRefused(LINT_REFUSED, "; ".join(listed[:10]), findings=sorted({one.code for one in bad}))
    return found


def crl_findings(crl: bytes, expected: CrlExpected | None = None, *, pkilint_entries: int = SAMPLE) -> list[Finding]:
    """Everything there is to say of a DER CRL; of a long one, its first :data:`SAMPLE` entries."""
    try:
        found = [Finding("ERROR", code, where) for code, where in _assertions(crl, expected)]
    except DerError as error:
        return [Finding("FATAL", "crl.unparsable", str(error))]
    if any(one.code == "crl.entry.shape" for one in found):
        return found
    return found + pkilint_findings(_shortened(crl, pkilint_entries))


def sample(runs: Sequence[bytes], entries: int) -> bytes:
    """At most :data:`SAMPLE` entries of ``runs``, in their order: all, or some drawn from a few runs."""
    if entries <= SAMPLE:
        return b"".join(runs)
    chosen: list[tuple[bytes, bytes]] = []
    for run in random.sample(list(runs), min(4, len(runs))):
        pool = list(entries_of(run[: _whole(run, 65_536)]))
        chosen += random.sample(pool, min(len(pool), SAMPLE // 4))
    return b"".join(entry for _, entry in sorted(chosen))


def _whole(run: bytes, most: int) -> int:
    """The length of the entries that lie wholly within the first ``most`` octets."""
    at = 0
    while at < len(run) and at + 2 + run[at + 1] <= most:
        at += 2 + run[at + 1]
    return at


def _assertions(crl: bytes, expected: CrlExpected | None) -> Iterator[tuple[str, str]]:
    outer = Reader(crl)
    whole = outer.enter(der.SEQUENCE)
    outer.close()
    tbs = whole.enter(der.SEQUENCE)
    algorithm = whole.whole()
    whole.read(der.BIT_STRING)
    whole.close()
    if tbs.peek() != der.INTEGER or tbs.read(der.INTEGER) != b"\x01":
        yield "crl.version", "version"
    if tbs.whole() != algorithm:
        yield "crl.algorithm", "signature"
    if Reader(tbs.whole()).enter(der.SEQUENCE).empty:
        yield "crl.issuer_empty", "issuer"
    this_update, written_well = _time(tbs)
    next_update = None
    if tbs.peek() in (der.UTC_TIME, der.GENERALIZED_TIME):
        next_update, well = _time(tbs)
        written_well = written_well and well
    if not written_well:
        yield "crl.time", "thisUpdate, nextUpdate"
    if next_update is None:
        yield "crl.next_update", "nextUpdate"
    elif not this_update < next_update <= this_update + LONGEST:
        yield "crl.validity", "nextUpdate"
    entries = tbs.enter(der.SEQUENCE) if tbs.peek() == der.SEQUENCE else None
    delta = False
    if tbs.peek() == 0xA0:
        extensions = tbs.enter(0xA0).enter(der.SEQUENCE)
        present, findings = _extensions(extensions, expected)
        delta = _DELTA in present
        yield from findings
    else:
        yield "crl.number", "crlExtensions"
    tbs.close()
    if expected is not None and delta is not expected.delta:
        yield "crl.delta", "deltaCRLIndicator"
    if entries is not None:
        if entries.empty:
            yield "crl.empty_list", "revokedCertificates"
        yield from _entries(entries, delta, this_update)


def _extensions(reader: Reader, expected: CrlExpected | None) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    present: dict[str, bytes] = {}
    found = []
    while not reader.empty:
        one = reader.enter(der.SEQUENCE)
        oid = der.read_oid(one.read(der.OID))
        critical = one.take(der.BOOLEAN) is not None
        value = one.read(der.OCTET_STRING)
        if oid in present:
            found.append(("crl.extension_doubled", oid))
        present[oid] = value
        if oid not in _KNOWN:
            # Authority information access among them: what nobody reads, somebody will choke on.
            found.append(("crl.extension_unknown", oid))
        elif critical is not _KNOWN[oid]:
            found.append(("crl.extension_critical", oid))
    if _AKI not in present:
        found.append(("crl.authority_key_identifier", "crlExtensions"))
    number = Reader(present[_NUMBER]).read(der.INTEGER) if _NUMBER in present else b""
    if not number or len(number) > 20 or number[0] & 0x80:
        found.append(("crl.number", "cRLNumber"))
    if _DELTA in present and der.read_integer(Reader(present[_DELTA]).read(der.INTEGER)) >= der.read_integer(
        number or b"\x00"
    ):
        found.append(("crl.base_number", "deltaCRLIndicator"))
    if _POINT in present and not Reader(present[_POINT]).enter(der.SEQUENCE).peek():
        found.append(("crl.point_empty", "issuingDistributionPoint"))
    if expected is not None and not _point_fits(present.get(_POINT), expected.point):
        found.append(("crl.point", "issuingDistributionPoint"))
    return present, found


def _point_fits(value: bytes | None, url: str | None) -> bool:
    if value is None or url is None:
        return value is None and url is None
    return der.implicit(6, url.encode("ascii")) in value


def _entries(reader: Reader, delta: bool, this_update: datetime) -> Iterator[tuple[str, str]]:
    seen: set[bytes] = set()
    for number in range(SAMPLE):
        if reader.empty:
            return
        where = f"revokedCertificates[{number}]"
        try:
            one = reader.enter(der.SEQUENCE)
            serial = one.read(der.INTEGER)
            at, well = _time(one)
        except DerError:
            yield "crl.entry.shape", where
            return
        if not serial or len(serial) > 20 or serial[0] & 0x80 or not any(serial):
            yield "crl.entry.serial", where
        if serial in seen:
            yield "crl.entry.doubled", where
        seen.add(serial)
        if not well:
            yield "crl.entry.time", where
        if at > this_update:
            yield "crl.entry.future", where
        if not one.empty:
            yield from ((code, where) for code in _entry_extensions(one, delta))


def _entry_extensions(one: Reader, delta: bool) -> Iterator[str]:
    extensions = one.enter(der.SEQUENCE)
    one.close()
    if extensions.empty:
        yield "crl.entry.empty_extensions"
    while not extensions.empty:
        extension = extensions.enter(der.SEQUENCE)
        oid = der.read_oid(extension.read(der.OID))
        critical = extension.take(der.BOOLEAN) is not None
        value = extension.read(der.OCTET_STRING)
        if oid not in (_REASON, _INVALIDITY):
            yield "crl.entry.extension_unknown"
        elif critical:
            yield "crl.entry.extension_critical"
        if oid == _REASON:
            reason = int.from_bytes(Reader(value).read(der.ENUMERATED), "big")
            if reason not in _REASONS or (reason == _REMOVE and not delta):
                yield "crl.entry.reason"


def _time(reader: Reader) -> tuple[datetime, bool]:
    """The moment, and whether it is written as RFC 5280 (5.1.2.4) wants it: UTCTime through 2049, whole seconds, Z."""
    tag = reader.peek()
    if tag not in (der.UTC_TIME, der.GENERALIZED_TIME):
        raise DerError("a time was expected")
    text = reader.read(tag)
    digits = text[:-1]
    if not text.endswith(b"Z") or not digits.isdigit() or len(digits) != (12 if tag == der.UTC_TIME else 14):
        raise DerError("a time not in whole seconds of UTC")
    plain = digits.decode("ascii")
    if tag == der.UTC_TIME:
        plain = ("19" if plain >= "50" else "20") + plain
    try:
        moment = datetime.strptime(plain, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise DerError("a time that does not exist") from error
    return moment, (tag == der.UTC_TIME) == (1950 <= moment.year < 2050)


def _shortened(crl: bytes, most: int) -> bytes:
    """``crl`` with its first ``most`` entries: pkilint reads whole documents, and slowly."""
    whole = Reader(crl).enter(der.SEQUENCE)
    tbs = whole.enter(der.SEQUENCE)
    rest = whole.rest()
    parts: list[bytes] = []
    while not tbs.empty:
        times = sum(part[0] in (der.UTC_TIME, der.GENERALIZED_TIME) for part in parts)
        part = tbs.whole()
        if times and part[0] == der.SEQUENCE:
            reader, kept = Reader(part).enter(der.SEQUENCE), list[bytes]()
            while not reader.empty and len(kept) < most:
                kept.append(reader.whole())
            part = der.sequence(*kept) if kept or part == der.sequence() else b""
        if part:
            parts.append(part)
    return der.sequence(der.sequence(*parts), rest)


@lru_cache(maxsize=1)
def _linter() -> tuple[Any, Any]:
    """pkilint's loader and validators of CRLs; imported on first use, like those of certificates."""
    from pkilint import loader, pkix
    from pkilint.pkix import crl as rules
    from pkilint.pkix import extension, name

    validators = rules.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            rules.create_issuer_validator_container([]),
            rules.create_validity_validator_container([]),
            rules.create_extensions_validator_container([]),
        ],
    )
    return loader, validators


def pkilint_findings(crl: bytes) -> list[Finding]:
    """What pkilint alone says of a DER CRL, of every entry."""
    loader, validators = _linter()
    try:
        document = loader.load_crl(crl, "crl")
        results = validators.validate(document.root)
    except ValueError:
        return [Finding("FATAL", "crl.unparsable", "pkilint cannot read it")]
    return [
        Finding(str(description.finding.severity), description.finding.code, str(result.node.path))
        for result in results
        for description in result.finding_descriptions
    ]
