"""The order of a ceremony.

1. The plan is held against itself, the clock and its inputs; what cannot be done is refused before a key is touched.
2. What will be signed is built and linted, for a key that is made of constants where there is none yet.
3. The key is made, or opened by its custodians. What opens a new key is split and on the disk before it signs.
4. The to-be-signed bytes are built, held against the plan's parent, linted under a dummy signature, and **written
   down**. From here on this plan signs these bytes and no other: after a crash it takes them up again.
5. The digests are shown, and the operator agrees.
6. One signature.
7. The signed bytes are compared with the linted ones, octet for octet; the signature is verified; the whole is linted.
8. The results appear in one step, with a transcript that tells all of the above and is sealed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature

from troth.kit.canonical import Json
from troth.kit.clock import Clock
from troth.pki import algorithms
from troth.pki.algorithms import load_public
from troth.pki.ceremony import aloud, results
from troth.pki.ceremony.body import Body, body_of
from troth.pki.ceremony.checks import check_plan, makes_key
from troth.pki.ceremony.custody import (
    SEALED,
    SHARE_FILES,
    SHARES,
    OpenKey,
    People,
    make_key,
    open_key,
    reopen_key,
    throw_away,
)
from troth.pki.ceremony.desk import TRANSCRIPT_FILE, Desk
from troth.pki.ceremony.errors import (
    KEY_OTHER,
    OUTPUT_UNWRITABLE,
    SIGNED_OTHER,
    UNFINISHED,
    CeremonyFailed,
)
from troth.pki.ceremony.inputs import Inputs, read_inputs
from troth.pki.ceremony.plan import Ceremony, Custody, Plan
from troth.pki.ceremony.transcript import Transcript, prove
from troth.pki.lint_full import sample_spki
from troth.pki.serial import SerialNumber, new_serial

RESERVED = "reserved.json"


class Reserved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this ceremony signs, whatever happens: written before the first signature."""

    serial: bytes
    public_key: bytes
    tbs: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """A ceremony that is done.

    Attributes:
        directory: of the results.
        digest: of the transcript, as its seal signs it.
        session_key: hex; to be written on the paper.
        outputs: SHA-256 (hex) of each output by its path.
    """

    directory: Path
    digest: bytes
    session_key: str
    outputs: dict[str, str]


def hold(plan: Plan, clock: Clock, people: People, *, dry_run: bool = False) -> Held:
    """Hold the ceremony. Raises PlanRefused, SharesRefused, CeremonyFailed; then nothing is there that was not.

    A dry run does the same with a throw-away key; its results lie beside those of the plan and say so everywhere.
    """
    check_plan(plan, clock.now())
    inputs = read_inputs(plan)
    rehearse(plan, inputs, clock)
    desk = Desk.open(plan, dry_run=dry_run)
    try:
        done = _sealed_already(desk)
        if done is not None:
            return done
        return _Run(plan, inputs, desk, clock, people, dry_run=dry_run).whole()
    except OSError as error:
        raise CeremonyFailed(OUTPUT_UNWRITABLE, f"{error.filename or desk.partial}: {error.strerror}") from error
    finally:
        desk.close()


def rehearse(plan: Plan, inputs: Inputs, clock: Clock) -> None:
    """Build and lint what would be signed, for a well-known key where there is none yet."""
    if plan.kind is Ceremony.KEY:
        return
    key = load_public(sample_spki(plan.document.key.algorithm)) if inputs.issuer is None else None
    body_of(plan, inputs, key, new_serial(clock.now())).check()


class _Run:
    """One run at one desk."""

    def __init__(self, plan: Plan, inputs: Inputs, desk: Desk, clock: Clock, people: People, *, dry_run: bool) -> None:
        self._plan = plan
        self._inputs = inputs
        self._desk = desk
        self._clock = clock
        self._people = people
        self._dry_run = dry_run
        self._transcript = Transcript.begin(desk.partial / TRANSCRIPT_FILE, plan.digest, clock, self._about())

    def whole(self) -> Held:
        """Steps 3 to 8."""
        self._read_aloud()
        key = self._key()
        try:
            self._note_key(key)
            if self._plan.kind is not Ceremony.KEY:
                self._sign(key)
            return self._finish(key)
        finally:
            key.close()

    def _about(self) -> dict[str, Json]:
        return {
            "ceremony": str(self._plan.kind),
            "title": self._plan.document.title,
            "dry_run": self._dry_run,
            "resumed": self._desk.resumed,
            "program": aloud.program(),
            "program_sha256": aloud.program_digest().hex(),
            "inputs": dict(self._inputs.digests),
        }

    def _read_aloud(self) -> None:
        if self._dry_run:
            self._people.tell("DRY RUN: signed by a throw-away key; nothing of this is worth anything.")
        told = [("plan", self._plan.digest), ("program", aloud.program_digest())]
        told += [(name, bytes.fromhex(digest)) for name, digest in self._inputs.digests]
        told.append(("key of this session", bytes.fromhex(self._transcript.session_key)))
        for name, digest in told:
            self._people.tell(f"{name}\n    {aloud.groups(digest)}")

    def _key(self) -> OpenKey:
        if self._dry_run:
            return self._throw_away()
        if not makes_key(self._plan):
            key = open_key(self._plan, self._people)
        elif self._desk.has(RESERVED):
            key = reopen_key(self._plan, self._desk, self._people)
        else:
            if self._plan.document.key.custody is Custody.SOFTWARE:
                # Of a run that was cut short before its key signed anything: nobody knows that key.
                self._desk.drop(SEALED, SHARES, SHARE_FILES)
            key = make_key(self._plan, self._desk, self._people)
        expected = self._inputs.issuer
        if expected is not None and not _same(expected.public_key(), key.public_key):
            key.close()
            raise CeremonyFailed(KEY_OTHER, "its public half is not in the issuer's certificate")
        return key

    def _throw_away(self) -> OpenKey:
        if makes_key(self._plan) and self._plan.document.key.custody is Custody.SOFTWARE:
            return make_key(self._plan, self._desk, self._people)
        if self._plan.document.key.custody is Custody.PKCS11:
            from troth.pki.ceremony.soft_token import soft_key

            return soft_key(self._plan.document.key.algorithm)
        return throw_away(self._plan.document.key.algorithm)

    def _note_key(self, key: OpenKey) -> None:
        spki = algorithms.spki_of(key.public_key)
        self._transcript.note(
            "key.made" if makes_key(self._plan) else "key.opened",
            {
                "algorithm": str(key.algorithm),
                "public_key_sha256": hashlib.sha256(spki).hexdigest(),
                "label": key.label,
                "evidence": [list(pair) for pair in key.evidence],
            },
        )

    def _sign(self, key: OpenKey) -> None:
        # 4. What will be signed, written down before it is.
        body = self._body(key)
        body.check()
        digest = hashlib.sha256(body.tbs).digest()
        self._transcript.note("linted", {"tbs_sha256": digest.hex(), "octets": len(body.tbs)})
        self._people.tell(f"to be signed\n    {aloud.groups(digest)}\n    {aloud.words(digest)}")
        # 5. and 6.
        self._people.consent(digest)
        self._transcript.note("signing", {"tbs_sha256": digest.hex()})
        # A run that was cut short after its signature has left it here; the same bytes are not signed twice.
        encoded = self._signed_before(key, body) or body.encode(key.sign(body.tbs))
        # 7. What was signed is what was linted, and nothing else.
        signed_tbs, signed_signature = body.read(encoded)
        if signed_tbs != body.tbs:
            raise CeremonyFailed(SIGNED_OTHER)
        try:
            algorithms.verify(key.public_key, signed_signature, body.tbs)
        except InvalidSignature:
            raise CeremonyFailed(SIGNED_OTHER, "the signature does not verify under the key") from None
        body.check_signed(encoded)
        told: dict[str, Json] = {"sha256": hashlib.sha256(encoded).hexdigest(), "tbs_sha256": digest.hex()}
        self._transcript.note("signed", told)
        self._desk.write_all(results.files_of(body, encoded, dry_run=self._dry_run))

    def _signed_before(self, key: OpenKey, body: Body) -> bytes | None:
        name = f"{body.name}.der"
        if not self._desk.has(name):
            return None
        encoded = self._desk.read(name)
        tbs, signature = body.read(encoded)
        return encoded if tbs == body.tbs and algorithms.verifies(key.public_key, signature, tbs) else None

    def _body(self, key: OpenKey) -> Body:
        spki = algorithms.spki_of(key.public_key)
        if not self._desk.has(RESERVED):
            serial = new_serial(self._clock.now())
            body = body_of(self._plan, self._inputs, key.public_key, serial)
            self._desk.write(RESERVED, msgspec.json.encode(Reserved(serial, spki, body.tbs)))
            return body
        try:
            reserved = msgspec.json.decode(self._desk.read(RESERVED), type=Reserved)
        except msgspec.MsgspecError as error:
            raise CeremonyFailed(UNFINISHED, f"{RESERVED} cannot be read") from error
        body = body_of(self._plan, self._inputs, key.public_key, SerialNumber(reserved.serial))
        if reserved.public_key != spki or reserved.tbs != body.tbs:
            raise CeremonyFailed(SIGNED_OTHER, "the bytes that were written down are not those of this plan and key")
        return body

    def _finish(self, key: OpenKey) -> Held:
        desk = self._desk
        desk.write_all(results.about(self._plan, self._inputs, key, dry_run=self._dry_run))
        outputs = {name: hashlib.sha256(content).hexdigest() for name, content in desk.files().items()}
        self._transcript.note("outputs", {"files": dict(outputs)})
        self._transcript.seal()
        return _settle(desk)


def _sealed_already(desk: Desk) -> Held | None:
    """A ceremony that was cut short between its seal and the last step has that step made."""
    if not desk.resumed or not desk.has(TRANSCRIPT_FILE) or b'"kind":"sealed"' not in desk.read(TRANSCRIPT_FILE):
        return None
    return _settle(desk)


def _settle(desk: Desk) -> Held:
    """Prove the transcript as anybody would, and move the results to their place."""
    content = desk.read(TRANSCRIPT_FILE)
    proved = prove(content)
    outputs = {name: hashlib.sha256(held).hexdigest() for name, held in desk.files().items()}
    if outputs != proved.outputs:
        raise CeremonyFailed(SIGNED_OTHER, "the results are not those of the sealed transcript")
    outputs[TRANSCRIPT_FILE] = hashlib.sha256(content).hexdigest()
    sums = "".join(f"{value}  {name}\n" for name, value in sorted(outputs.items()))
    desk.write("SHA256SUMS", sums.encode())
    return Held(desk.finish(), proved.digest, proved.session_key, outputs)


def _same(one: object, other: algorithms.PublicKey) -> bool:
    return isinstance(one, algorithms.PublicKey) and algorithms.spki_of(one) == algorithms.spki_of(other)
