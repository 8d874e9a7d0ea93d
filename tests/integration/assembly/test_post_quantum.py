"""The post-quantum preset on one running Troth: two hierarchies by one profile, and a rollover of ML-DSA issuers."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.x509 import ocsp as x509_ocsp

from tests.support.ceremonies import Office
from tests.support.dns import DnsServer
from tests.support.running import RunningTroth, make_troth
from tests.support.webroot import ChallengeWebRoot
from troth.cli.main import main
from troth.kit.clock import SystemClock
from troth.pki import algorithms, ocsp
from troth.pki.algorithms import spki_of
from troth.pki.ceremony.plan import read_plan
from troth.pki.ceremony.presets import Keeper, Preset, plans_of

NAMES = ("Anna", "Bert", "Cleo", "Dora", "Emil")


@pytest.fixture(scope="module")
def troth(
    tmp_path_factory: pytest.TempPathFactory, applicant: tuple[ChallengeWebRoot, DnsServer]
) -> Iterator[RunningTroth]:
    """One of its own: the authorities that come here would sign other tests' certificates."""
    running = make_troth(tmp_path_factory.mktemp("quantum") / "data", *applicant).start()
    yield running
    assert running.stop() == 0, running.log()[-4000:]


class Story:
    """A PKI officer at the command line, with the preset's plans and its custodians."""

    def __init__(self, troth: RunningTroth, directory: Path) -> None:
        self.troth = troth
        self.office = Office(directory, SystemClock())  # type: ignore[arg-type]
        self.directory = directory
        self.plans = plans_of(
            Preset.POST_QUANTUM, org="Example", now=SystemClock().now(), url=troth.summary["http_url"],
            keepers=[Keeper("security", name, self.office.custodian(name)["recipient"]) for name in NAMES],
        )  # fmt: skip
        (directory / "keys").mkdir()

    def run(self, *words: str) -> Any:
        """A command, in this process: an import of the program takes longer than what it does."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = main([*words, "--data", str(self.troth.data)])
        assert code == 0, (words, said.getvalue())
        return json.loads(said.getvalue()) if "json" in words else said.getvalue()

    def hold(self, part: str, **changes: str) -> Path:
        """Hold the ceremony whose plan has ``part`` in its name, with ``changes`` made to its text first."""
        [name] = [one for one in self.plans if re.fullmatch(rf"\d\d-{part}\.yaml", one)]
        text = self.plans[name]
        for before, after in changes.items():
            text, count = re.subn(before, after, text)
            assert count
        public = re.search(r"public_key: (\S+)", text)
        if public is not None:
            key = serialization.load_pem_public_key((self.directory / public[1]).read_bytes())
            text = re.sub(r"(public_key_sha256: ).*", rf"\g<1>{hashlib.sha256(spki_of(key)).hexdigest()}", text)  # type: ignore[arg-type]
        path = self.directory / f"{part}-{len(list(self.directory.glob('*.yaml')))}.yaml"
        path.write_text(text)
        return self.office.hold(read_plan(path), "Anna", "Bert", "Cleo").directory

    def key(self, name: str, algorithm: str) -> str:
        """A key of the signer for the authority ``name``."""
        told = self.run("authority", "request", str(self.directory / "keys" / f"{name}.pem"), "--algorithm", algorithm)
        found = re.search(r"Made (\S+) ", told)
        assert found is not None
        return found[1]

    def grow(self, prefix: str, algorithm: str) -> None:
        """Root, an authority for open enrolment, and the root's first CRL; taken in, and let issue."""
        key, slug = self.key(f"{prefix}open", algorithm), f"example-{prefix}open"
        root = self.hold(f"root-{prefix}root")
        self.run("ceremony", "import", str(root), "--slug", f"example-{prefix}root")
        made = self.hold(f"authority-{prefix}open")
        self.run("ceremony", "import", str(made), "--slug", slug, "--key", key)
        self.run("ceremony", "import", str(self.hold(f"crl-{prefix}root")))
        self.run("authority", "state", slug, "active")

    def issue(self, name: str, key: str) -> list[x509.Certificate]:
        """A certificate of the profile tls-server, and its chain."""
        out = self.directory / name
        self.run("cert", "issue", "tls-server", name, "--key", key, "--out", str(out), "-o", "json")
        return x509.load_pem_x509_certificates((out / f"{name}.fullchain.crt").read_bytes())

    def issue_from(self, slug: str, name: str, key: str) -> list[x509.Certificate]:
        """The same from this authority. Other processes hear a moment later that it issues now: what another has
        signed until then is revoked."""
        issuer = x509.load_pem_x509_certificate(self.authority(slug)["pem"].encode())
        tries = itertools.count()

        def issued() -> list[x509.Certificate] | None:
            chain = self.issue(f"{name}{next(tries)}.test", key)
            if chain[1] == issuer:
                return chain
            self.run("cert", "revoke", f"{chain[0].serial_number:x}", "--reason", "superseded", "--yes")
            return None

        found: list[x509.Certificate] = until(issued)
        return found

    def authority(self, slug: str) -> Any:
        return self.run("authority", "show", slug, "-o", "json")

    def ocsp(self, slug: str, leaf: x509.Certificate, issuer: x509.Certificate) -> str:
        """What is told of ``leaf``, once the signature of a responder that ``issuer`` certified has verified."""
        serial = leaf.serial_number
        asked = ocsp.build_request(serial.to_bytes(serial.bit_length() // 8 + 1, "big"), issuer)  # type: ignore[arg-type]
        path = quote(base64.b64encode(asked).decode(), safe="")
        status, body = self.troth.get(f"{self.troth.summary['http_url']}/ocsp/{slug}/{path}")
        assert status == 200
        told = x509_ocsp.load_der_ocsp_response(body)
        if told.response_status is not x509_ocsp.OCSPResponseStatus.SUCCESSFUL:
            return told.response_status.name.lower()
        [responder] = told.certificates
        responder.verify_directly_issued_by(issuer)
        algorithms.verify(responder.public_key(), told.signature, told.tbs_response_bytes)  # type: ignore[arg-type]
        assert isinstance(responder.public_key(), mldsa.MLDSA44PublicKey) is isinstance(
            issuer.public_key(), mldsa.MLDSA65PublicKey
        )
        return told.certificate_status.name.lower()

    def crl(self, slug: str, issuer: x509.Certificate) -> x509.CertificateRevocationList:
        """The newest CRL, verified."""
        _, body = self.troth.get(self.authority(slug)["crl_url"])
        crl = x509.load_der_x509_crl(body)
        algorithms.verify(issuer.public_key(), crl.signature, crl.tbs_certlist_bytes)  # type: ignore[arg-type]
        return crl


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def until(what: Callable[[], Any], *, seconds: float = 300.0, or_else: Callable[[], Any] = str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found, or_else()
    return found


def test_two_hierarchies_issue_by_one_profile_and_an_ml_dsa_issuer_is_rolled_over_to_retired(
    troth: RunningTroth, tmp_path: Path
) -> None:
    story = Story(troth, tmp_path)
    story.grow("", "p384")
    story.grow("pq-", "mldsa65")
    # The hierarchy of the first start has done its duty: its keys are of the kind that profiles name first.
    story.run("authority", "state", "issuing", "retiring")
    classical = story.issue_from("example-open", "a", "p256")
    quantum = story.issue_from("example-pq-open", "b", "mldsa65")
    for chain, root_slug, oid in (
        (classical, "example-root", "1.2.840.10045.4.3.3"),  # ecdsa-with-SHA384
        (quantum, "example-pq-root", "2.16.840.1.101.3.4.3.18"),  # id-ml-dsa-65
    ):
        leaf, issuer = chain
        root = x509.load_pem_x509_certificate(story.authority(root_slug)["pem"].encode())
        leaf.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(root)
        root.verify_directly_issued_by(root)
        assert leaf.signature_algorithm_oid.dotted_string == oid
    for slug, chain in (("example-open", classical), ("example-pq-open", quantum)):
        assert until(lambda slug=slug, chain=chain: story.ocsp(slug, *chain) == "good")
        until(lambda slug=slug: story.authority(slug)["crls"])
        story.crl(slug, chain[1])

    # A second ML-DSA issuer under the same root takes over, and the first one is drained.
    key = story.key("pq-open-2", "mldsa65")
    changes = {
        "keys/pq-open.pem": "keys/pq-open-2.pem",
        "results/pq-open\n": "results/pq-open-2\n",
        "Open CA I1": "Open CA I2",
        r"(validity:\s+from: .*\s+until: ')20\d\d": r"\g<1>2040",
    }
    made = story.hold("authority-pq-open", **changes)
    story.run("ceremony", "import", str(made), "--slug", "example-pq-open-2", "--key", key)
    rollover = story.run("rollover", "start", "example-pq-open", "example-pq-open-2", "-o", "json")["id"]

    def at() -> Any:
        return story.run("rollover", "status", rollover, "-o", "json")

    def advance() -> str:
        until(lambda: all(one["met"] for one in at()["gate"]), or_else=at)
        return str(story.run("rollover", "advance", rollover, "-o", "json")["stage"])

    stages = [advance(), advance()]
    after = story.issue_from("example-pq-open-2", "c", "mldsa65")
    assert story.issue("d.test", "p256")[1] == classical[1], "the classical hierarchy is not rolled over"
    stages.append(advance())
    assert [one["met"] for one in at()["gate"]] == [False]
    assert at()["alive"][0]["count"] == 1
    story.run("cert", "revoke", f"{quantum[0].serial_number:x}", "--reason", "superseded", "--yes")
    stages.append(advance())
    assert stages[-1] == "retired"
    assert story.authority("example-pq-open")["state"] == "retired"

    # Retired, it issues nothing; but it goes on telling of what it has issued.
    before = number(story.crl("example-pq-open", quantum[1]))
    story.run("crl", "publish", "example-pq-open")
    crl = until(lambda: (found := story.crl("example-pq-open", quantum[1])) and number(found) > before and found)
    assert crl.get_revoked_certificate_by_serial_number(quantum[0].serial_number) is not None
    assert story.ocsp("example-pq-open", *quantum) == "revoked"
    assert until(lambda: story.ocsp("example-pq-open-2", *after) == "good")
