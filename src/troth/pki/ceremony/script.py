"""The script of a ceremony: what people do, step by step, on paper.

Made from the plan alone, so that it can be printed, read and agreed on before the day. What is only known on the day
(digests of what is made) has room to be written down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from troth.pki.algorithms import spki_of
from troth.pki.ceremony import aloud
from troth.pki.ceremony.certificates import moment
from troth.pki.ceremony.checks import makes_key
from troth.pki.ceremony.inputs import Inputs
from troth.pki.ceremony.plan import Ceremony, CertificatePlan, CrlPlan, Custody, Plan

ADMINISTRATOR, OPERATOR, CUSTODIANS, WITNESS, AUDITOR = (
    "ceremony administrator",
    "operator",
    "custodians",
    "witness",
    "auditor",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``digest`` is read aloud; ``blank`` is written down on the day, one line each."""

    role: str
    text: str
    command: str | None = None
    digest: bytes | None = None
    blank: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """Steps that belong together."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """All that is printed.

    Attributes:
        people: (role, name or empty).
        facts: what is made, for reading before the day.
    """

    title: str
    kind: str
    plan_name: str
    plan_digest: bytes
    people: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    acts: tuple[Act, ...]


def script_of(plan: Plan, inputs: Inputs, plan_name: str) -> Script:
    """The script of ``plan``."""
    return Script(
        title=plan.document.title,
        kind=str(plan.kind),
        plan_name=plan_name,
        plan_digest=plan.digest,
        people=tuple(_people(plan)),
        facts=tuple(_facts(plan, inputs)),
        acts=(_before(plan, inputs, plan_name), _rehearsal(plan_name), _held(plan, plan_name), _after(plan)),
    )


def _people(plan: Plan) -> list[tuple[str, str]]:
    roles = plan.document.roles
    found = [
        (ADMINISTRATOR, roles.administrator or ""),
        (OPERATOR, roles.operator or ""),
        (WITNESS, roles.witness or ""),
        (AUDITOR, roles.auditor or ""),
    ]
    if plan.document.custodians is not None:
        for group in plan.document.custodians.groups:
            found += [(f"custodian, {group.name}", member.name) for member in group.members]
    return found


def _facts(plan: Plan, inputs: Inputs) -> list[tuple[str, str]]:
    document, key = plan.document, plan.document.key
    window = f"{moment(document.window.begin)} to {moment(document.window.end)}"
    held = {Custody.SOFTWARE: "file, sealed under shares", Custody.PEM: "file with a passphrase"}
    where = held.get(key.custody) or f"token {key.token}{f', serial {key.serial}' if key.serial else ''}"
    found = [
        ("To be held", window),
        ("Key", f"{key.algorithm}, {'made here' if makes_key(plan) else 'existing'}, {where}"),
    ]
    if document.custodians is not None:
        groups = [f"{g.threshold} of {len(g.members)} of {g.name}" for g in document.custodians.groups]
        needed = document.custodians.groups_needed or len(groups)
        all_of = "all of" if needed == len(groups) else f"{needed} of"
        found.append(("Needed to open it", f"{all_of}: {'; '.join(groups)}" if len(groups) > 1 else groups[0]))
    if inputs.issuer is not None:
        found.append(("Issuer", inputs.issuer.subject.rfc4514_string()))
    if document.certificate is not None:
        found += _certificate(document.certificate, inputs)
    if document.crl is not None:
        found += _crl(document.crl)
    found.append(("Results", document.outputs.directory))
    return found


def _certificate(certificate: CertificatePlan, inputs: Inputs) -> list[tuple[str, str]]:
    subject = certificate.subject
    if subject is not None:
        parts = (("C", subject.country), ("O", subject.organization), ("OU", subject.organizational_unit))
        named = ", ".join(f"{name}={value}" for name, value in (*parts, ("CN", subject.common_name)) if value)
    else:
        named = "" if inputs.certificate is None else inputs.certificate.subject.rfc4514_string()
    validity = f"{moment(certificate.validity.begin)} to {moment(certificate.validity.end)}"
    constraints = certificate.name_constraints
    return [
        (name, value)
        for name, value in (
            ("Subject", named),
            ("Valid", validity),
            ("Path length", "no limit" if certificate.path_length is None else str(certificate.path_length)),
            ("Permitted names", ", ".join(constraints.permitted) if constraints else ""),
            ("Excluded names", ", ".join(constraints.excluded) if constraints else ""),
            ("Policies", ", ".join(certificate.policies)),
            ("Extended key usages", ", ".join(certificate.extended_key_usages)),
            ("Issues for", ", ".join(certificate.issuer_classes)),
            ("Issuer's certificate at", certificate.ca_issuers_url or ""),
            ("OCSP at", certificate.ocsp_url or ""),
            ("CRL at", certificate.crl_url or ""),
        )
        if value
    ]


def _crl(crl: CrlPlan) -> list[tuple[str, str]]:
    found = [("CRL number", str(crl.number)), ("This update", moment(crl.this_update))]
    found.append(("Next update", moment(crl.next_update)))
    entries = [f"{one.serial} on {moment(one.at)}, reason {one.reason}" for one in crl.revoked]
    return [*found, ("Revoked", "; ".join(entries) or "nothing")]


def _before(plan: Plan, inputs: Inputs, plan_name: str) -> Act:
    steps = [
        Step(
            ADMINISTRATOR,
            "Names everybody present, checks identity cards, and writes the time of beginning.",
            blank=("Begun at",),
        ),
        Step(ADMINISTRATOR, "Shows that the machine has no network: no cable, radio off, and ip link shows lo alone."),
        Step(
            OPERATOR,
            "Sets the machine's clock by a watch that the witness trusts, and reads it aloud.",
            "date -u",
            blank=("UTC",),
        ),
        Step(
            OPERATOR,
            "Reads the digest of the plan; everybody compares it with this page.",
            f"sha256sum {plan_name}",
            plan.digest,
        ),
        Step(
            AUDITOR,
            "Reads the digest of the program, which the run prints first, and compares it with this page.",
            "troth ceremony program",
            aloud.program_digest(),
        ),
    ]
    for name, digest in inputs.digests:
        steps.append(
            Step(OPERATOR, f"Reads the digest of the input {name}.", f"sha256sum {name}", bytes.fromhex(digest))
        )
    if inputs.public_key is not None:
        text = "Reads the digest of the public key, as it was told by the machine where the key was made."
        steps.append(Step(AUDITOR, text, None, hashlib.sha256(spki_of(inputs.public_key)).digest()))
    return Act("Before", tuple(steps))


def _rehearsal(plan_name: str) -> Act:
    return Act(
        "Dry run",
        (
            Step(
                OPERATOR,
                "Runs the whole ceremony with a throw-away key. It ends with “DRY RUN done”; otherwise nobody goes on.",
                f"troth ceremony run {plan_name} --dry-run",
            ),
        ),
    )


def _held(plan: Plan, plan_name: str) -> Act:
    steps = []
    if plan.document.key.custody is Custody.PKCS11:
        token = plan.document.key.token
        steps.append(
            Step(
                OPERATOR, f"Connects the token {token}; the witness reads its serial number.", blank=("Serial number",)
            )
        )
    steps.append(Step(OPERATOR, "Begins the ceremony.", f"troth ceremony run {plan_name}"))
    steps.append(
        Step(
            AUDITOR,
            "Copies the key of this session from the screen; the seal is proved with it.",
            blank=("Session key", " "),
        )
    )
    if not makes_key(plan) and plan.document.key.shares is not None:
        steps.append(
            Step(
                CUSTODIANS,
                "One after the other, alone at the screen: type the words of the share, or say that it stays closed.",
                blank=("Shares given by",),
            )
        )
    if plan.kind is not Ceremony.KEY:
        steps.append(
            Step(
                OPERATOR,
                "Reads the digest of what will be signed, in groups of four and in words; the auditor repeats it. "
                "Only then types its first group, and the key signs.",
                blank=("To be signed", " "),
            )
        )
    steps.append(
        Step(
            OPERATOR,
            "Reads the digests of the results; the auditor writes down those of the transcript and of what was made.",
            blank=("Transcript", " ", "Result", " "),
        )
    )
    return Act("The ceremony", tuple(steps))


def _after(plan: Plan) -> Act:
    steps = [
        Step(
            AUDITOR,
            "Proves the transcript and the results.",
            f"troth ceremony verify {plan.document.outputs.directory}/transcript.jsonl --session-key …",
        )
    ]
    if plan.document.custodians is not None:
        steps.append(
            Step(
                CUSTODIANS,
                "Each takes his own age file, opens it on his own machine, and confirms that he can read the words.",
                blank=("Confirmed by",),
            )
        )
        steps.append(
            Step(
                OPERATOR,
                "Copies results and age files to two media; the administrator seals both in bags.",
                blank=("Bag numbers",),
            )
        )
    else:
        steps.append(
            Step(
                OPERATOR,
                "Copies the results to two media; the administrator seals both in bags.",
                blank=("Bag numbers",),
            )
        )
    steps.append(Step(OPERATOR, "Erases the machine's disk or memory medium; the witness sees it done."))
    steps.append(Step(ADMINISTRATOR, "Closes the ceremony. Everybody signs.", blank=("Ended at",)))
    return Act("After", tuple(steps))


def text_of(script: Script) -> str:
    """Plain text, 100 columns."""
    lines = [script.title, "=" * len(script.title), f"Ceremony: {script.kind}", ""]
    lines += [f"{name + ':':<26}{value}" for name, value in script.facts]
    lines += ["", "People", "------"]
    lines += [f"{role:<30}{name or '.' * 30:<32} signature {'.' * 24}" for role, name in script.people]
    number = 0
    for act in script.acts:
        lines += ["", act.title, "-" * len(act.title)]
        for step in act.steps:
            number += 1
            lines += _step(number, step)
    return "\n".join(lines) + "\n"


def _step(number: int, step: Step) -> Sequence[str]:
    lines = [f"{number:>3}. [ ] {step.role.upper()}: {step.text}", f"{'':9}time ........ initials ........"]
    if step.command is not None:
        lines.append(f"{'':9}$ {step.command}")
    if step.digest is not None:
        lines += [f"{'':9}{aloud.groups(step.digest)}", f"{'':9}{aloud.words(step.digest)}"]
    lines += [f"{'':9}{name + ':' if name.strip() else '':<16}{'.' * 60}" for name in step.blank]
    return lines
