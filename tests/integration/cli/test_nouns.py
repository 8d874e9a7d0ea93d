"""The command line against the real application, over a real Unix socket that tells who asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.integration.web.test_attestations import judged
from tests.integration.web.test_found import reported
from tests.support.attesting import maker
from tests.support.dashboard import House, sequencing
from troth.assembly.layout import Layout
from troth.audit.note import open_checkpoint
from troth.cli.main import DENIED, FAILED, NOT_FOUND, main
from troth.enroll.acme.attempt_store import ADD_ATTEMPT
from troth.kit.ids import new_id
from troth.store.unit import Unit
from troth.web.peercred import PeerCredProtocol
from troth.web.views import EventFilter


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Said]]


@pytest.fixture
async def served(house: House, tmp_path: Path) -> AsyncIterator[Path]:
    """A data directory whose admin socket answers."""
    layout = Layout.at(tmp_path / "data")
    layout.prepare()
    config = uvicorn.Config(
        house.app, uds=str(layout.admin_socket), http=PeerCredProtocol, log_level="warning", lifespan="on"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    async with sequencing(house):
        yield layout.root
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def run(served: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    async def ran(*words: str) -> Said:
        code = await asyncio.to_thread(main, [*words, "--data", str(served)])
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return ran


async def test_an_operator_issues_with_a_key_that_never_leaves_his_directory(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    said = await run("cert", "issue", "tls-server", "www.example.org", "--out", str(out), "-o", "json")
    assert said.code == 0, said.err
    issued = json.loads(said.out)
    key_path = Path(issued["key"])
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    key = load_pem_private_key(key_path.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((out / "www.example.org.crt").read_bytes())
    assert certificate.public_key() == key.public_key()
    assert len(x509.load_pem_x509_certificates((out / "www.example.org.fullchain.crt").read_bytes())) == 2
    again = await run("cert", "issue", "tls-server", "www.example.org", "--out", str(out))
    assert (again.code, "cli.file_exists" in again.err) == (FAILED, True)
    assert "www.example.org" in (await run("cert", "list")).out
    assert issued["serial"] in (await run("cert", "show", issued["serial"])).out
    why = await run("why", issued["serial"])
    assert "Rule proof-of-control of policy tls-server" in why.out


async def test_hold_release_and_a_revocation_that_first_shows_what_it_would_hit(run: Run, tmp_path: Path) -> None:
    issued = json.loads(
        (await run("cert", "issue", "tls-server", "www.example.org", "--out", str(tmp_path / "m"), "-o", "json")).out
    )
    serial = issued["serial"]
    assert "held" in (await run("cert", "hold", serial, "--note", "odd")).out
    assert "good" in (await run("cert", "release", serial)).out
    shown = await run("cert", "revoke", serial, "--reason", "superseded")
    assert "Nothing was done" in shown.out
    assert json.loads((await run("cert", "show", serial, "-o", "json")).out)["status"] == "good"
    await run("cert", "revoke", serial, "--reason", "superseded", "--yes")
    assert json.loads((await run("cert", "show", serial, "-o", "json")).out)["revocation_reason"] == 4


async def test_a_refusal_leaves_no_key_behind_and_names_code_fix_and_decision(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(
        "users: [{name: carol, enabled: false}]\n"
        "devices: [{name: tablet-1, owner: carol, posture: [{source: mdm, values: {posture.compliant: true}}]}]\n"
    )
    applied = await run("apply", "-f", str(file))
    assert "+ device tablet-1: created" in applied.out
    assert "(mdm: nothing → true)" in applied.out
    out = tmp_path / "mine"
    said = await run("cert", "issue", "client-device", "tablet-1", "--name", "tablet-1.example", "--out", str(out))
    assert said.code == DENIED
    assert "enroll.refused" in said.err
    assert "decision_id" in said.err
    assert list(out.iterdir()) == []
    why = await run("why", "tablet-1")
    assert "was denied" in why.out
    assert "Rule owner-disabled must no longer match" in why.out or "→" in why.out
    # About its owner nothing was decided: what was decided about what is hers is told, and where to ask on.
    hers = await run("why", "carol")
    assert "Nothing was decided about user carol itself." in hers.out
    assert "device tablet-1 is trusted; issue on " in hers.out
    assert ": deny (" in hers.out
    assert "troth why tablet-1" in hers.out
    told = json.loads((await run("why", "carol", "-o", "json")).out)
    assert [(one["name"], one["outcome"]) for one in told["subject"]["owns"]] == [("tablet-1", "deny")]


async def test_apply_plans_without_harm_and_shows_a_feeds_secret_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "feeds.yaml"
    file.write_text("feeds: [{name: edr, kinds: [edr.*]}]\n")
    dry = await run("apply", "-f", str(file), "--dry-run")
    assert "Nothing was applied" in dry.out
    assert "No feed" in (await run("feed", "list")).out
    applied = await run("apply", "-f", str(file))
    assert "whsec_" in applied.out
    assert "whsec_" not in (await run("feed", "list", "-o", "json")).out
    assert (await run("feed", "secret", "edr")).out.startswith("whsec_")
    assert "suspended" in (await run("feed", "suspend", "edr", "--reason", "noisy")).out


async def test_staged_actions_subjects_and_the_switch(run: Run, house: House) -> None:
    await house.fleet(6)
    staged = json.loads((await run("staged", "list", "-o", "json")).out)
    assert "laptop-04" in (await run("staged", "list")).out
    assert "quarantined" in (await run("staged", "approve", staged[0]["id"], "--note", "by phone")).out
    shown = await run("subject", "show", "laptop-04")
    assert "raised by feed:edr" in shown.out
    assert "laptop-04" in (await run("subject", "list", "--standing", "quarantined")).out
    assert "frozen" in (await run("freeze", "--reason", "drill")).out
    assert "drill" in (await run("status")).out
    assert "goes on" in (await run("unfreeze")).out


async def test_an_invitation_makes_an_account(run: Run) -> None:
    token = (await run("admin", "invite", "iris", "--role", "auditor")).out.strip()
    assert token.startswith("troth-setup-")
    assert "No account yet" in (await run("admin", "list")).out
    assert (await run("admin", "disable", "nobody")).code == NOT_FOUND


async def test_the_ledger_is_exported_and_a_changed_line_is_found(run: Run, house: House, tmp_path: Path) -> None:
    await run("freeze", "--reason", "drill")
    while not (await house.services.events.list(EventFilter(kind="enforcement."))).items:
        await asyncio.sleep(0.05)
    await house.sign_checkpoint()
    file = tmp_path / "ledger.jsonl"
    assert (await run("audit", "export", "--out", str(file))).code == 0
    checkpoint = await run("audit", "checkpoint")
    # What it prints is a note and nothing else: a restore takes the file as it is.
    assert open_checkpoint(checkpoint.out, house.notary_key).origin == "troth.test/ledger"
    assert " events are under it; signed " in checkpoint.err
    key = str(house.notary_key)
    assert main(["audit", "verify", str(file), "--key", key]) == 0
    changed = tmp_path / "changed.jsonl"
    changed.write_text(file.read_text().replace("drill", "grill"))
    assert main(["audit", "verify", str(changed)]) == 1


async def test_what_does_not_exist_ends_with_its_own_code(run: Run) -> None:
    for words in (("cert", "show", "00ff"), ("subject", "show", "nobody"), ("why", "nothing")):
        said = await run(*words)
        assert said.code == NOT_FOUND, said
        assert "web.not_found" in said.err


async def test_a_directory_where_nothing_runs_is_told_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await asyncio.to_thread(main, ["status", "--data", str(tmp_path)]) == FAILED
    assert "troth up" in capsys.readouterr().err


async def test_control_characters_from_a_directory_never_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text('users: [{name: "\\e[31mred", enabled: true}]\n')
    applied = await run("apply", "-f", str(file))
    listed = await run("subject", "list")
    assert "\x1b" not in applied.out + applied.err + listed.out


async def test_authorities_are_listed_as_a_tree_and_shown_one_by_one(run: Run) -> None:
    listed = await run("authority", "list")
    assert listed.code == 0
    rows = listed.out.splitlines()
    assert rows[1].startswith("root ")
    assert rows[2].startswith("  issuing ")
    shown = await run("authority", "show", "issuing")
    assert "Test Issuing" in shown.out
    assert "No CRL published." in shown.out
    assert json.loads((await run("authority", "show", "issuing", "--output", "json")).out)["parent"] == "root"
    assert (await run("authority", "show", "nobody")).code == NOT_FOUND


async def test_crls_are_listed_asked_for_and_cut(house: House, run: Run) -> None:
    issuing = "issuing"
    assert "No CRL is published." in (await run("crl", "list")).out
    made = await run("crl", "cut", issuing, "4", "--deltas", "-o", "json")
    assert (made.code, json.loads(made.out)) == (0, {"shards": 4, "deltas": True})
    assert (await run("crl", "cut", issuing, "2")).code == FAILED
    assert (await run("crl", "publish", issuing, "3")).code == 0
    assert (await run("crl", "publish", issuing, "4")).code == FAILED
    events = await house.services.events.list(EventFilter(kind="crl.", ref=f"authority:{issuing}"))
    assert [event.kind for event in events.items] in ([], ["crl.wanted"])


async def test_found_certificates_and_their_hosts_are_listed(house: House, run: Run) -> None:
    assert "No agent has found" in (await run("inventory", "list")).out
    assert "No agent has reported" in (await run("inventory", "hosts")).out
    await reported(house)
    listed = await run("inventory", "list", "--elsewhere", "--unknown-key", "--gone")
    assert (listed.code, "with its key" in listed.out) == (0, True)
    assert "No agent has found" in (await run("inventory", "list", "--days", "3")).out
    hosts = await run("inventory", "hosts", "--output", "json")
    assert json.loads(hosts.out)[0]["host"] == "node-1"


async def test_a_tpm_is_registered_with_its_device_listed_shown_and_forgotten(
    run: Run, house: House, tmp_path: Path
) -> None:
    await house.apply("devices: [{name: laptop-17}, {name: laptop-18}]")
    certificate = tmp_path / "ek.crt"
    vendor = next(Path("src/troth/enroll/tpm/vendors").glob("STMicro-stm-tpm-ecc*"))
    key = x509.load_pem_x509_certificate(vendor.read_bytes()).public_key()
    certificate.write_bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    said = await run("tpm", "register", "--device", "laptop-17", "--ek", str(certificate))
    assert said.code == 0, said.err
    digest = said.out.removeprefix("Registered: ").strip()
    table = tmp_path / "delivery.csv"
    table.write_text(f"device,ek,model\nlaptop-18,{'AB:' * 31}AB,SLB9672\n")
    assert "ab" * 32 in (await run("tpm", "register", "--csv", str(table))).out
    listed = await run("tpm", "list")
    assert digest in listed.out
    assert "laptop-18" in listed.out
    assert "laptop-18" not in (await run("tpm", "list", "--device", "laptop-17")).out
    assert "SLB9672" in (await run("tpm", "show", "ab" * 32)).out
    gone = await run("tpm", "remove", digest, "-o", "json")
    assert json.loads(gone.out) == {"ek_sha256": digest}
    assert "cannot be read" in (await run("tpm", "register", "--device", "laptop-17", "--ek", "/nowhere")).err
    assert (await run("tpm", "show", digest)).code == DENIED


async def test_attestations_are_listed_roots_pinned_and_a_status_list_loaded(
    run: Run, house: House, tmp_path: Path
) -> None:
    assert "No device has attested" in (await run("attest", "list")).out
    one = await judged(house)
    assert str(one) in (await run("attest", "list")).out
    shown = await run("attest", "show", str(one))
    assert "tpm.key.fixed_tpm" in shown.out
    assert "accepted" in shown.out
    assert "Microsoft TPM Root" in (await run("attest", "root", "list")).out
    pem = tmp_path / "root.pem"
    pem.write_bytes(maker("tpm").root.certificate.public_bytes(Encoding.PEM))
    assert "Version 1" in (await run("attest", "root", "set", "tpm", str(pem), "--reason", "lab")).out
    assert "CN=tpm Root" in (await run("attest", "root", "list")).out
    assert "Version 2" in (await run("attest", "root", "set", "tpm", "--reason", "back")).out
    assert "CN=tpm Root" not in (await run("attest", "root", "list")).out
    (tmp_path / "status.json").write_text('{"entries":{"ab":{"status":"REVOKED"}}}')
    assert "1 certificates" in (await run("attest", "status", "load", str(tmp_path / "status.json"))).out
    assert "entries" in (await run("attest", "status", "show")).out


async def test_certificates_are_renewed_early_only_after_it_was_shown(run: Run, tmp_path: Path) -> None:
    assert "No incident" in (await run("renewal", "list")).out
    words = ("renewal", "early", "--profile", "tls-server", "--per-minute", "60", "--note", "a leak")
    shown = await run(*words)
    assert (shown.code, "0 certificates are renewed before their time" in shown.out) == (0, True)
    assert "Nothing was done" in shown.out
    assert "No incident" in (await run("renewal", "list")).out
    begun = await run(*words, "--yes")
    incident = begun.out.removeprefix("Begun: incident ").strip(" .\n")
    assert "a leak" in (await run("renewal", "list")).out
    assert "0 of 0 have come, 60 a minute" in (await run("renewal", "show", incident)).out
    assert "ended" in (await run("renewal", "end", incident, "--note", "done")).out
    assert (await run("renewal", "end", incident)).code == FAILED
    assert (await run("renewal", "early", "--per-minute", "60")).code == FAILED
    assert "cannot be read" in (await run(*words, "--serials", str(tmp_path / "none"))).err


async def test_failed_validations_are_told_step_by_step(house: House, run: Run) -> None:
    assert "No validation has failed" in (await run("account", "failures")).out
    steps = '[{"target":"_acme-challenge.a.test","address":null,"result":"0 TXT record(s)\\u001b[31m"}]'
    unit = Unit().write(
        ADD_ATTEMPT, new_id(), new_id(), new_id(), "a.test", "dns-01", "invalid", "acme.validation.dns", "no record",
        steps, house.services.clock.now(),
    )  # fmt: skip
    await house.trust.database.commit(unit)
    told = (await run("account", "failures", "a.test")).out
    assert "acme.validation.dns" in told
    assert "    _acme-challenge.a.test: 0 TXT record(s)" in told
    assert "\x1b" not in told
    assert json.loads((await run("account", "failures", "-o", "json")).out)[0]["name"] == "a.test"
    assert "No validation has failed" in (await run("account", "failures", "b.test")).out
