"""One statement held against everything: the order of work that all formats share (field notes of the formats apart).

1. the format is one that is understood and accepted;
2. the certificates lead to a root pinned for this format, at this moment;
3. the format's own checks (``apple``, ``tpm``, ``android``, ``step``);
4. the attested identifiers hold the one that was asked for;
5. the attested key is the one for which a certificate is asked.

Nothing stops at the first failure: who reads the report sees all that is wrong at once.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TypeAlias

from troth.enroll.attest import android, apple, step, tpm
from troth.enroll.attest.android import DESCRIPTION
from troth.enroll.attest.android_description import as_json, read_description
from troth.enroll.attest.chain import described, find_root
from troth.enroll.attest.errors import FORMAT, IDENTIFIER, KEY
from troth.enroll.attest.leaf import extensions
from troth.enroll.attest.model import (
    ANDROID_KEY,
    APPLE,
    FORMATS,
    STEP,
    TPM,
    Checks,
    Evidence,
    Known,
    Report,
    Roots,
    key_sha256,
)
from troth.enroll.attest.statement import Statement
from troth.kit.canonical import Json
from troth.pki import der
from troth.tpm import structures
from troth.tpm.errors import TpmMalformed

Verifier: TypeAlias = Callable[[Statement, Known, Checks], Evidence]

VERIFIERS: Mapping[str, Verifier] = {
    APPLE: apple.verify, TPM: tpm.verify, ANDROID_KEY: android.verify, STEP: step.verify,
}  # fmt: skip


def examine(statement: Statement, known: Known, roots: Roots, accepted: frozenset[str] = frozenset(FORMATS)) -> Report:
    """Every check that can be made, whatever the outcome of the others. :meth:`Report.require` tells what it proves."""
    checks = Checks()
    verifier = VERIFIERS.get(statement.format)
    taken = verifier is not None and statement.format in accepted
    checks.hold("format", taken, " or ".join(sorted(accepted & set(FORMATS))) or "none", statement.format, FORMAT)
    if verifier is None:
        nothing = Evidence(statement.format, None, frozenset(), {})
        return Report(statement.format, statement.sha256, checks.all(), nothing, decoded(statement))
    root = find_root(statement.certificates, roots.get(statement.format, ()), at=known.at, checks=checks)
    evidence = verifier(statement, known, checks)
    _identifier(evidence, known, checks)
    _same_key(evidence, known, checks)
    return Report(
        statement.format,
        statement.sha256,
        checks.all(),
        evidence,
        decoded(statement),
        (root.name, root.sha256) if root is not None else None,
    )


def _identifier(evidence: Evidence, known: Known, checks: Checks) -> None:
    got = ", ".join(sorted(f"{kind} {value}" for kind, value in evidence.identifiers)) or "no identifier"
    if known.identifiers is None:
        checks.not_asked("identifier", "the identifier of an order", IDENTIFIER)
        return
    wanted = " or ".join(sorted(f"{kind} {value}" for kind, value in known.identifiers)) or "a device that is known"
    # Octet for octet: no case folding and no trimming (draft, section 3). Absence never matches.
    checks.hold("identifier", bool(evidence.identifiers & known.identifiers), wanted, got, IDENTIFIER)


def _same_key(evidence: Evidence, known: Known, checks: Checks) -> None:
    if known.spki is None:
        return  # held against the request when it comes, at finalize; a person who inspects may give one
    got = evidence.spki_sha256 or "no key"
    checks.hold("key.same", evidence.spki == known.spki, f"the request's key {key_sha256(known.spki)}", got, KEY)


def decoded(statement: Statement) -> dict[str, Json]:
    """Every member of the statement, for a person; octets in base64."""
    fields: dict[str, Json] = {"format": statement.format}
    for name, value in statement.members.items():
        if name == "x5c":
            continue
        fields[name[:40]] = _shown(value)
    if statement.certificates:
        fields["chain"] = described(statement.certificates)
        own = extensions(statement.leaf)
        fields["extensions"] = {oid: base64.b64encode(value).decode() for oid, value in own.items()}
        if DESCRIPTION in own:
            try:
                fields["key_description"] = as_json(read_description(own[DESCRIPTION]))
            except der.DerError as error:
                fields["key_description"] = str(error)
    if statement.format == TPM:
        fields |= _tpm(statement)
    return fields


def _shown(value: object) -> Json:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (str, bool, int)) or value is None:
        return str(value)[:2000] if isinstance(value, str) else value
    return str(value)[:2000]


def _tpm(statement: Statement) -> dict[str, Json]:
    fields: dict[str, Json] = {}
    info, area = statement.members.get("certInfo"), statement.members.get("pubArea")
    try:
        if isinstance(info, bytes):
            attest = structures.read_attest(info)
            fields["certification"] = {
                "extraData": attest.extra.hex(), "qualifiedSigner": attest.signer.hex(),
                "clock": str(attest.clock.clock),
                "resetCount": attest.clock.resets, "restartCount": attest.clock.restarts, "safe": attest.clock.safe,
                "firmwareVersion": f"{attest.firmware:016x}", "name": attest.attested.name.hex(),
            }  # fmt: skip
        if isinstance(area, bytes):
            public = structures.read_public(area)
            fields["public"] = {
                "key": tpm.kind_of(public),
                "nameAlgorithm": structures.hash_name(public.name_algorithm),
                "attributes": [one.name.lower() for one in structures.Attributes if public.has(one) and one.name],
                "authPolicy": public.policy.hex(),
            }
    except TpmMalformed as error:
        fields["unreadable"] = error.detail
    return fields
