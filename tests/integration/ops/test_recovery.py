"""A Troth that was backed up, lived on, and was lost with its machine: what comes back, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from tests.support.dns import DnsServer
from tests.support.running import RunningTroth, make_troth
from tests.support.webroot import ChallengeWebRoot
from troth.assembly.layout import Layout
from troth.assembly.postgres.server import url as embedded_url
from troth.kit.clock import SystemClock
from troth.radius.sessions import inbox
from troth.radius.sessions.model import Admitted, Port, Told, Where
from troth.store.pool import Database
from troth.store.unit import Unit

WATCHED = {"troth_backup_age_seconds", "troth_shipping_lag_seconds"}
pytestmark = [pytest.mark.xdist_group("recovery"), pytest.mark.timeout(1200)]


@dataclass
class Lived:
    """What was known of the first machine when it was lost.

    Attributes:
        statuses: name → what OCSP said of its certificate last.
        checkpoint: the last one that was signed, kept elsewhere.
        crl: the last CRL of the issuing authority that was published.
        metrics: what ``/metrics`` told, by name, of what has no labels.
    """

    home: Path
    identity: Path
    archive: Path
    tiles: Path
    recipient: str
    archives: Path = Path()
    certificates: dict[str, tuple[x509.Certificate, x509.Certificate]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    checkpoint: Path = Path()
    crl: Path = Path()
    crl_number: int = 0
    sessions: list[tuple[str, ...]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


def issue(troth: RunningTroth, home: Path, name: str) -> tuple[x509.Certificate, x509.Certificate]:
    done = troth.run("cert", "issue", "tls-server", name, "--out", str(home / name), "-o", "json")
    assert json.loads(done.stdout)["serial"]
    leaf, issuer = x509.load_pem_x509_certificates((home / name / f"{name}.fullchain.crt").read_bytes())
    return leaf, issuer


def ocsp(troth: RunningTroth, home: Path, leaf: x509.Certificate, issuer: x509.Certificate) -> str:
    """What openssl is told: ``good``, ``revoked (reason)``, ``unknown``, or the unsigned answer's name."""
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    oid = x509.AuthorityInformationAccessOID.OCSP
    [url] = [one.access_location.value for one in access if one.access_method == oid]
    pem = Encoding.PEM
    (home / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (home / "issuer.pem").write_bytes(issuer.public_bytes(pem))
    (home / "trusted.pem").write_bytes(issuer.public_bytes(pem) + troth.root.read_bytes())
    said = subprocess.run(
        ["openssl", "ocsp", "-issuer", "issuer.pem", "-cert", "leaf.pem", "-url", url, "-CAfile", "trusted.pem"],
        cwd=home, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    both = said.stdout + said.stderr
    unsigned = re.search(r"Responder Error: (\w+)", both)
    if unsigned:
        return unsigned[1]
    assert "Response verify OK" in both, both
    status, reason = re.search(r"leaf\.pem: (\w+)", both), re.search(r"Reason: (\w+)", both)
    assert status is not None, both
    return f"{status[1]} ({reason[1]})" if reason else status[1]


def crl_of(troth: RunningTroth, leaf: x509.Certificate) -> x509.CertificateRevocationList:
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    [name] = points[0].full_name or []
    status, body = troth.get(name.value)
    assert status == 200
    return x509.load_der_x509_crl(body)


def serial(leaf: x509.Certificate) -> str:
    return f"{leaf.serial_number:x}"


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def listed(crl: x509.CertificateRevocationList, leaf: x509.Certificate) -> bool:
    return crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None


def metrics(troth: RunningTroth) -> dict[str, float]:
    status, body = troth.get(f"{troth.summary['http_url']}/metrics")
    assert status == 200
    pairs = [line.split(" ") for line in body.decode().splitlines() if not line.startswith("#") and "{" not in line]
    return {name: float(value) for name, value in pairs}


def until(what: Callable[[], Any], *, seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    return found


async def _joined(troth: RunningTroth) -> None:
    """Have a device let in, and its access server say so, as the worker is told of it."""
    where, port, at = Where("wlc", "wlc/192.0.2.1", "192.0.2.1"), Port(mac="02-00-00-00-00-01"), SystemClock().now()
    admitted = Admitted(
        b"k" * 16, where, port, at, "corp", "staff", "eap-tls", "allow", "policy.allowed", "alice@corp.example"
    )
    told = Told("start", where, at, at, replace(port, acct_session_id="s-1"), began_at=at, class_=b"k" * 16)
    database = await Database.open(embedded_url(Layout.at(troth.data)), clock=SystemClock(), max_connections=1)
    try:
        await database.commit(inbox.write(Unit(), [admitted, told], at))
    finally:
        await database.close()


def sessions(troth: RunningTroth) -> list[tuple[str, ...]]:
    """Who is on the network: station, person, network, place, access server's name for it."""
    found = json.loads(troth.run("session", "list", "-o", "json").stdout)["items"]
    names = ("id", "mac", "user_name", "network", "place", "nas", "acct_session_id")
    return [tuple(one[name] for name in names) for one in found if one["started_at"]]


def shipped(troth: RunningTroth, tiles: Path) -> bool:
    """Whether everything that was signed has arrived, and everything is signed."""
    checkpoint = json.loads(troth.run("audit", "checkpoint", "-o", "json").stdout)
    if checkpoint["events"] != checkpoint["size"] or not (tiles / "checkpoint").exists():
        return False
    return int((tiles / "checkpoint").read_text().split("\n")[1]) == checkpoint["events"]


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, applicant: tuple[ChallengeWebRoot, DnsServer]
) -> Iterator[tuple[Lived, RunningTroth]]:
    """The first machine's life and end; its data directory is gone when this has been made."""
    home = tmp_path_factory.mktemp("lived")
    key = pyrage.x25519.Identity.generate()
    one = Lived(home, home / "identity.txt", home / "backup.troth", home / "tiles", str(key.to_public()))
    one.archives = home / "archives"
    one.identity.write_text(f"# public key: {one.recipient}\n{key}\n")
    one.tiles.mkdir()
    one.archives.mkdir()
    text = f'[backup]\nrecipients = ["{one.recipient}"]\ntiles = "{one.tiles}"\n'
    text += f'directory = "{one.archives}"\n'
    troth = make_troth(home / "data", *applicant, text).start()
    try:
        _live(one, troth)
        yield one, troth
    finally:
        if troth.running:
            troth.kill()


def _live(one: Lived, troth: RunningTroth) -> None:
    def act(verb: str, name: str, *arguments: str) -> None:
        troth.run("cert", verb, serial(one.certificates[name][0]), *arguments)

    for name in ("a.test", "b.test", "c.test"):
        one.certificates[name] = issue(troth, one.home, name)
    act("hold", "b.test")
    asyncio.run(_joined(troth))
    one.sessions = until(lambda: sessions(troth))
    troth.run("backup", "create", "--to", str(one.archive))
    for name in ("d.test", "e.test", "f.test"):
        one.certificates[name] = issue(troth, one.home, name)
    for name in ("a.test", "d.test"):
        act("revoke", name, "--reason", "superseded", "--yes")
    act("release", "b.test")
    act("hold", "e.test")
    until(lambda: list(one.archives.glob("troth-*.troth")))
    crl = until(lambda: (found := crl_of(troth, one.certificates["e.test"][0])) and
                listed(found, one.certificates["e.test"][0]) and found)  # fmt: skip
    for name, (leaf, issuer) in one.certificates.items():
        one.statuses[name] = ocsp(troth, one.home, leaf, issuer)
    one.crl, one.crl_number = one.home / "last.crl", number(crl)
    one.crl.write_bytes(crl.public_bytes(Encoding.DER))
    until(lambda: shipped(troth, one.tiles))
    one.metrics = until(lambda: (told := metrics(troth)).keys() >= WATCHED and told)
    one.checkpoint = one.home / "checkpoint.txt"
    shutil.copy(one.tiles / "checkpoint", one.checkpoint)
    troth.kill()
    shutil.rmtree(troth.data)


@pytest.fixture
def fresh(lived: tuple[Lived, RunningTroth]) -> tuple[Lived, RunningTroth]:
    """The same, on an empty machine."""
    troth = lived[1]
    if troth.running:
        assert troth.stop() == 0, troth.log()[-3000:]
    shutil.rmtree(troth.data, ignore_errors=True)
    return lived


def restore(one: Lived, troth: RunningTroth, *arguments: str) -> dict[str, Any]:
    done = troth.run("restore", str(one.archive), "--identity", str(one.identity), "-o", "json", *arguments)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_an_archive_was_made_on_schedule_and_opens(lived: tuple[Lived, RunningTroth], tmp_path: Path) -> None:
    one, troth = lived
    [made] = one.archives.glob("troth-*.troth")
    said = subprocess.run(
        [*troth.program, "backup", "verify", str(made), "--identity", str(one.identity), "-o", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(said.stdout)["ledger_size"] > 0
    assert not [name for name in json.loads(said.stdout)["files"] if name.startswith("offline-root")]


def test_how_old_the_newest_archive_is_and_how_far_shipping_is_behind_is_told(
    lived: tuple[Lived, RunningTroth],
) -> None:
    told = lived[0].metrics
    assert 0 <= told["troth_backup_age_seconds"] < 300
    assert 0 <= told["troth_shipping_lag_seconds"] < 60


def test_the_statuses_before_the_loss_are_what_the_story_says(lived: tuple[Lived, RunningTroth]) -> None:
    one, _ = lived
    assert one.statuses == {
        "a.test": "revoked (superseded)",
        "b.test": "good",
        "c.test": "good",
        "d.test": "revoked (superseded)",
        "e.test": "revoked (certificateHold)",
        "f.test": "good",
    }


def test_an_archive_that_is_cut_or_not_for_us_and_a_directory_in_use_restore_nothing(
    fresh: tuple[Lived, RunningTroth], tmp_path: Path
) -> None:
    one, troth = fresh
    stranger = tmp_path / "stranger.txt"
    stranger.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    cut = tmp_path / "cut.troth"
    cut.write_bytes(one.archive.read_bytes()[:-1000])
    before = sorted(troth.data.parent.iterdir())
    for archive, identity, code in (
        (cut, one.identity, "ops.backup.damaged"),
        (one.archive, stranger, "ops.backup.identity"),
    ):
        done = troth.run("restore", str(archive), "--identity", str(identity), check=False)
        assert (done.returncode != 0, code in done.stderr) == (True, True), done.stderr
        assert sorted(troth.data.parent.iterdir()) == before
    troth.data.mkdir()
    (troth.data / "letter.txt").write_text("mine")
    done = troth.run("restore", str(one.archive), "--identity", str(one.identity), check=False)
    assert "ops.restore.not_empty" in done.stderr
    assert [path.name for path in troth.data.iterdir()] == ["letter.txt"]


def test_with_tiles_every_acknowledged_certificate_and_status_comes_back_and_the_ca_goes_on(
    fresh: tuple[Lived, RunningTroth],
) -> None:
    one, troth = fresh
    answer = restore(one, troth, "--tiles", str(one.tiles), "--checkpoint", str(one.checkpoint))
    assert answer["fenced"] == ""
    assert answer["replayed"] > 0
    size = int(one.checkpoint.read_text().split("\n")[1])
    assert answer["ledger_size"] >= size
    troth.start()
    # Every certificate, with the bytes it had, and every status, by a program that is not ours.
    for name, (leaf, issuer) in one.certificates.items():
        shown = json.loads(troth.run("cert", "show", serial(leaf), "-o", "json").stdout)
        assert x509.load_pem_x509_certificate(shown["pem"].encode()) == leaf
        assert ocsp(troth, one.home, leaf, issuer) == one.statuses[name]
    crl = crl_of(troth, one.certificates["a.test"][0])
    assert number(crl) > one.crl_number
    assert [name for name, (leaf, _) in one.certificates.items() if listed(crl, leaf)] == ["a.test", "d.test", "e.test"]
    assert [row[1:] for row in one.sessions] == [
        ("02-00-00-00-00-01", "alice@corp.example", "corp", "staff", "wlc", "s-1")
    ]  # fmt: skip
    assert sessions(troth) == one.sessions
    # It goes on: new serial numbers, a hold that was raised before is cleared now, a ledger that extends the old.
    leaf, issuer = issue(troth, one.home, "g.test")
    assert leaf.serial_number not in {old.serial_number for old, _ in one.certificates.values()}
    assert ocsp(troth, one.home, leaf, issuer) == "good"
    troth.run("cert", "release", serial(one.certificates["e.test"][0]))
    assert until(lambda: ocsp(troth, one.home, *one.certificates["e.test"]) == "good")
    until(lambda: shipped(troth, one.tiles))
    export = one.home / "export.jsonl"
    export.unlink(missing_ok=True)
    troth.run("audit", "export", "--out", str(export))
    header = json.loads(export.read_text().partition("\n")[0])
    assert one.checkpoint.read_text() in header["checkpoints"]
    proved = subprocess.run(
        [*troth.program, "audit", "verify", str(export), "--key", header["key"]], capture_output=True, check=False
    )
    assert proved.returncode == 0, proved.stdout


def test_without_tiles_nothing_is_vouched_for_until_a_person_accepts_the_loss(
    fresh: tuple[Lived, RunningTroth], tmp_path: Path
) -> None:
    one, troth = fresh
    answer = restore(one, troth, "--last-crl", str(one.crl))
    assert "no shipped tiles" in answer["fenced"]
    # Under its old name this log may have been signed further: it gets a new one.
    assert answer["ledger"] != answer["backup"]["ledger"]
    assert answer["kept_from_crls"] == 3
    # The tiles of the lost log are not for this one: it ships to another place.
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    config = troth.data / "troth.toml"
    config.write_text(config.read_text().replace(str(one.tiles), str(tiles)))
    troth.start()
    refused = troth.run("cert", "issue", "tls-server", "h.test", "--out", str(tmp_path / "h"), check=False)
    assert refused.returncode != 0
    assert "ops.fenced" in refused.stderr
    said = {name: ocsp(troth, one.home, *pair) for name, pair in one.certificates.items()}
    assert said == {
        "a.test": "revoked (superseded)",  # by the last CRL
        "b.test": "revoked (certificateHold)",  # the backup's hold; its release is lost, and that fails closed
        "c.test": "trylater",  # known and good, but its revocation might be what was lost
        "d.test": "revoked (superseded)",  # nobody here knows it, but the last CRL did
        "e.test": "revoked",
        "f.test": "trylater",  # issued after the backup: not "unknown"
    }
    crl = crl_of(troth, one.certificates["a.test"][0])
    assert number(crl) > one.crl_number
    for name in ("a.test", "d.test", "e.test"):
        assert listed(crl, one.certificates[name][0]), name
    assert json.loads(troth.run("restore", "status", "-o", "json").stdout)["state"] == "closed"
    decided = troth.run("restore", "decide", "--resume", "revoke-unknown", "--reason", "the disk is gone", "-o", "json")
    assert json.loads(decided.stdout)["settled_why"] == "the disk is gone"
    assert until(lambda: ocsp(troth, one.home, *one.certificates["c.test"]) == "good")
    # Issued in the unknown interval and not here: revoked, as was decided.
    assert ocsp(troth, one.home, *one.certificates["f.test"]) == "revoked (cessationOfOperation)"
    assert until(
        lambda: (
            troth.run("cert", "issue", "tls-server", "i.test", "--out", str(tmp_path / "i"), check=False).returncode
            == 0
        )
    )
    until(lambda: shipped(troth, tiles))
    again = troth.run("restore", "decide", "--resume", "accept-loss", "--reason", "twice", check=False)
    assert "ops.fence_open" in again.stderr
    proved = troth.run("audit", "verify")
    assert "none changed" in proved.stdout
