"""The root of a first start: what lies in its offline-root/ directory is enough to sign its next CRL."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.ceremonies import NOW, Office
from troth.kit.clock import FakeClock
from troth.pki.birth import BirthPlan, Unborn, born_root
from troth.pki.issuer_classes import EVERY
from troth.pki.lint_full import sample_spki

ROOT = Path(__file__).parents[4]
URLS = ("http://pki.test/ca/root.cer", "http://pki.test/crl/root.crl")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """The two media of a trial root, together again half a year later."""
    plan = BirthPlan(str(tmp_path), "Test", "Example", (Unborn("issuing", "CA", EVERY, sample_spki("p256")),), *URLS)
    born = born_root(plan, FakeClock(NOW - timedelta(days=180)))
    (tmp_path / "offline-root" / "root.crl").write_bytes(born.root_crl)
    return Office(tmp_path / "offline-root")


def test_the_plan_in_the_documents_signs_the_next_crl_from_that_directory(office: Office) -> None:
    page = (ROOT / "docs" / "ceremonies.md").read_text()
    text = page.partition("<!-- plan: trial root -->\n```yaml\n")[2].partition("```")[0]
    assert "offline" not in text
    (office.directory / "plan.yaml").write_text(text)
    from troth.pki.ceremony.plan import read_plan

    held = office.hold(read_plan(office.directory / "plan.yaml"))
    crl = x509.load_der_x509_crl((held.directory / "crl.der").read_bytes())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
    root = x509.load_pem_x509_certificate((office.directory / "root.pem").read_bytes())
    (office.directory / "r.pem").write_bytes(root.public_bytes(Encoding.PEM))
    checked = ["openssl", "crl", "-in", str(held.directory / "crl.pem"), "-CAfile", str(office.directory / "r.pem")]
    assert (
        "verify OK"
        in subprocess.run([*checked, "-noout", "-verify"], check=True, capture_output=True, text=True).stderr
    )


def test_what_the_directory_says_of_itself_names_the_way(office: Office) -> None:
    assert "troth ceremony run" in (office.directory / "README.txt").read_text()
