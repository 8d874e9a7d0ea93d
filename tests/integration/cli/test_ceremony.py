"""``troth ceremony`` as it is run on the day: a process of its own, without a network, without a database."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.support.ceremonies import Office
from troth.kit.clock import SystemClock
from troth.pki.algorithms import spki_of
from troth.pki.ceremony.checks import check_plan
from troth.pki.ceremony.inputs import read_inputs
from troth.pki.ceremony.plan import parse_plan, read_plan
from troth.pki.ceremony.presets import Keeper, Preset, Token, plans_of
from troth.pki.ceremony.script import script_of, text_of
from troth.pki.ceremony.script_html import html_of
from troth.pki.lint_full import sample_spki
from troth.pki.pem import pem

#: Refuses every socket, as a machine without a network would, and says whether a database driver was loaded.
GUARD = """
import socket, sys
def refuse(*_, **__): raise OSError(101, "Network is unreachable")
socket.socket.__init__ = refuse
from troth.cli.main import main
code = main(sys.argv[1:])
assert "asyncpg" not in sys.modules, "a database driver was loaded"
sys.exit(code)
"""


def troth(directory: Path, *words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    """A command on an air-gapped machine: no sockets, and no network name space where the kernel lets us have one."""
    program = [sys.executable, "-P", "-c", GUARD, *words]
    if os.geteuid() == 0 and shutil.which("unshare"):
        program = ["unshare", "-n", "--", *program]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HOME": str(directory)}
    return subprocess.run(
        program, cwd=directory, env=environ, input=answers, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, SystemClock())  # type: ignore[arg-type]


def today(document: dict[str, object]) -> dict[str, object]:
    now = datetime.now(UTC)
    return document | {"window": {"from": f"{now - timedelta(hours=1)}", "until": f"{now + timedelta(days=1)}"}}


def test_a_root_and_its_crl_are_made_on_a_machine_without_network_or_database(office: Office) -> None:
    directory = office.directory
    office.plan("root.yaml", today(office.root(algorithm="p256")))
    told = troth(directory, "ceremony", "run", "root.yaml", "--dry-run")
    assert (told.returncode, "DRY RUN done" in told.stdout) == (0, True), told.stderr
    stopped = troth(directory, "ceremony", "run", "root.yaml", answers="0000 no\n")
    assert (stopped.returncode, "ceremony.no_consent" in stopped.stderr) == (1, True)
    told = troth(directory, "ceremony", "run", "root.yaml", "--yes", *given(office, ".root.partial"))
    assert told.returncode == 0, told.stderr
    document = today(office.crl(key=office.existing(algorithm="p256")))
    office.plan("crl.yaml", document)
    few = troth(directory, "ceremony", "run", "crl.yaml", "--yes", *given(office, "root")[:8])
    assert (few.returncode, "1 of audit" in few.stderr) == (1, True), few.stderr
    told = troth(directory, "ceremony", "run", "crl.yaml", "--yes", *given(office, "root"))
    assert told.returncode == 0, told.stderr
    assert "AGE-SECRET" not in told.stdout + told.stderr
    key = re.search(r"key of this session\n\s+([0-9a-f ]{79})", told.stdout)
    assert key is not None
    told = troth(directory, "ceremony", "verify", "crl-1/transcript.jsonl", "--session-key", key[1], "-o", "json")
    assert (told.returncode, json.loads(told.stdout)["ceremony"]) == (0, "root-crl")


def given(office: Office, root: str) -> list[str]:
    """Options with the shares of three custodians who suffice, and their identities."""
    words = []
    for group, name in (("security", "Anna"), ("security", "Cleo"), ("audit", "Emil")):
        words += ["--share", f"{root}/shares/{group}-{name.lower()}.age"]
        words += ["--identity", str(office.identities[name])]
    return words


def test_a_secret_of_ones_own_is_split_checked_and_put_together(office: Office) -> None:
    directory = office.directory
    (directory / "custodians.yaml").write_text(json.dumps(office.custodians()))
    (directory / "pin").write_text("4711-0815\n")
    (directory / "pin").chmod(0o600)
    made = troth(
        directory, "ceremony", "shares", "split", "custodians.yaml", "--out", "s", "--purpose", "PIN", "--secret", "pin"
    )
    assert made.returncode == 0, made.stderr
    share = ["--share", "s/security-anna.age", "--identity", str(office.identities["Anna"])]
    right = troth(directory, "ceremony", "shares", "verify", "s/shares.json", "--custodian", "Anna", *share)
    assert right.returncode == 0, right.stderr
    wrong = troth(directory, "ceremony", "shares", "verify", "s/shares.json", "--custodian", "Bert", *share)
    assert (wrong.returncode, "the share of Anna" in wrong.stderr) == (1, True)
    rest = ["--share", "s/security-bert.age", "--identity", str(office.identities["Bert"])]
    rest += ["--share", "s/audit-dora.age", "--identity", str(office.identities["Dora"])]
    back = troth(directory, "ceremony", "shares", "combine", "s/shares.json", "--out", "again", *share, *rest)
    assert back.returncode == 0, back.stderr
    assert (directory / "again").read_text() == "4711-0815"
    assert (directory / "again").stat().st_mode & 0o777 == 0o600


def keepers(preset: Preset) -> list[Keeper]:
    people = [("security", f"S{n}") for n in range(5)]
    people += [("audit", f"A{n}") for n in range(2)] if preset is Preset.REGULATED else []
    return [Keeper(g, n, str(pyrage.x25519.Identity.generate().to_public())) for g, n in people]


@pytest.mark.parametrize(
    ("preset", "policy_tier", "count"),
    [
        (Preset.SMALL, False, 3),
        (Preset.ENTERPRISE, False, 6),
        (Preset.ENTERPRISE, True, 9),
        (Preset.REGULATED, False, 6),
        (Preset.REGULATED, True, 9),
        (Preset.POST_QUANTUM, False, 12),
        (Preset.POST_QUANTUM, True, 18),
    ],
)
def test_each_preset_is_a_hierarchy_of_plans_that_are_complete(
    preset: Preset, policy_tier: bool, count: int, tmp_path: Path
) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    made = plans_of(
        preset,
        org="Example",
        now=now,
        url="http://pki.example",
        keepers=keepers(preset),
        token=Token("/usr/lib/softhsm/libsofthsm2.so", "root") if preset is Preset.REGULATED else None,
        policy_tier=policy_tier,
    )
    assert len(made) == count
    for text in made.values():
        check_plan(parse_plan(text.encode(), tmp_path), now)


def test_a_post_quantum_hierarchy_with_a_policy_tier_is_held_from_end_to_end(office: Office) -> None:
    names = ("Anna", "Bert", "Cleo", "Dora", "Emil")
    made = plans_of(
        Preset.POST_QUANTUM,
        org="Example",
        now=office.clock.now(),
        url="http://pki.example",
        keepers=[Keeper("security", name, office.custodian(name)["recipient"]) for name in names],
        policy_tier=True,
    )
    spki = sample_spki("mldsa65")
    (office.directory / "keys").mkdir()
    (office.directory / "keys" / "pq-open.pem").write_bytes(pem(spki, "PUBLIC KEY"))
    for name, text in made.items():
        (office.directory / name).write_text(text)
    chain = []
    for name in sorted(made):
        if not re.search(r"-(root-pq-root|key-pq-policy|authority-pq-(policy|open)|crl-pq-(root|policy))", name):
            continue
        public = re.search(r"public_key: (\S+)", made[name])
        if public is not None:
            key = serialization.load_pem_public_key((office.directory / public[1]).read_bytes())
            digest = hashlib.sha256(spki_of(key)).hexdigest()  # type: ignore[arg-type]
            text = re.sub(r"public_key_sha256: .*", f"public_key_sha256: {digest}", made[name])
            (office.directory / name).write_text(text)
        held = office.hold(read_plan(office.directory / name), "Anna", "Bert", "Cleo")
        if (held.directory / "certificate.der").exists():
            chain.append(x509.load_der_x509_certificate((held.directory / "certificate.der").read_bytes()))
    assert len(chain) == 3
    for below, above in itertools.pairwise(reversed(chain)):
        below.verify_directly_issued_by(above)


def test_the_small_preset_is_held_from_end_to_end(office: Office) -> None:
    people = [Keeper("security", name, office.custodian(name)["recipient"]) for name in ("Anna", "Bert", "Cleo")]
    made = plans_of(Preset.SMALL, org="Example", now=office.clock.now(), url="http://pki.example", keepers=people)
    for name, text in made.items():
        (office.directory / name).write_text(text)
    root, _, crl = sorted(made)
    office.hold(read_plan(office.directory / root))
    held = office.hold(read_plan(office.directory / crl), "Anna", "Bert")
    assert (held.directory / "crl.der").exists()


def test_the_script_has_every_step_digest_and_person_and_fetches_nothing(office: Office) -> None:
    document = today(office.root(roles={"administrator": "Ines <Admin>", "witness": "Wim"}))
    plan = office.plan("root.yaml", document)
    script = script_of(plan, read_inputs(plan), "root.yaml")
    text, page = text_of(script), html_of(script)
    digest = plan.digest.hex()
    assert " ".join(digest[at : at + 4] for at in range(0, 64, 4)) in text
    for word in ("Anna", "Emil", "Wim", "--dry-run", "troth ceremony verify"):
        assert word in text
        assert word in page
    assert "Ines &lt;Admin&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
