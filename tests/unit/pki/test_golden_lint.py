"""Golden cases: bad certificates and CRLs, each against one rule, and what lint says of it (scripts/golden_lint.py)."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from scripts import golden_lint
from troth.cli.main import main
from troth.pki.lint_codes import AUDIT, CODES, CRL, LEAF
from troth.pki.lint_file import lint_file

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*.case"))
PKI = Path(golden_lint.__file__).resolve().parents[1] / "src/troth/pki"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_lint_finds_what_the_case_says(path: Path) -> None:
    wanted, _, data = path.read_text().partition("\n\n")
    assert wanted
    assert golden_lint.told(data) == wanted.splitlines()


def test_every_case_is_made_by_the_script() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = dict(golden_lint.cases())
    assert len(made) >= 40
    assert {path.stem: path.read_text().partition("\n\n")[2] for path in CASES} == made


def test_what_is_sound_has_no_finding() -> None:
    assert [golden_lint.told(one) for one in golden_lint.sound()] == [[], [], [], []]


@pytest.mark.parametrize(
    ("registry", "files", "prefix"),
    [
        (LEAF, ("lint.py", "lint_full.py"), "lint"),
        (CRL, ("crl_lint.py",), "crl"),
        (AUDIT, ("audit_rules.py",), "audit"),
    ],
    ids=["leaf", "crl", "audit"],
)
def test_the_registry_of_findings_is_complete(registry: dict[str, str], files: tuple[str, ...], prefix: str) -> None:
    source = "".join((PKI / name).read_text() for name in files)
    found = set(re.findall(rf'"({prefix}\.[a-z_.]+)"', source))
    assert found == set(registry)
    assert all(len(CODES[code]) > 15 for code in registry)


@pytest.mark.parametrize("code", sorted(CRL))
def test_every_crl_rule_has_a_case_or_is_about_what_the_builder_meant(code: str) -> None:
    said = "".join(path.read_text().partition("\n\n")[0] for path in CASES)
    assert code in said or code in {"crl.delta", "crl.point"}


def test_the_command_tells_and_its_exit_code_says_whether(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = tmp_path / "bad.pem", tmp_path / "good.pem"
    bad.write_text((GOLDEN / "crl-entry-reason-7.case").read_text().partition("\n\n")[2])
    good.write_text("".join(golden_lint.sound()))
    assert main(["lint", str(bad)]) == 1
    assert "crl.entry.reason" in capsys.readouterr().out
    assert main(["lint", str(good), "--output", "json"]) == 0
    assert '"kind": "crl"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----", b"0\x03\x30\x01"]
)
def test_what_is_nothing_is_refused(junk: bytes, tmp_path: Path) -> None:
    file = tmp_path / "junk"
    file.write_bytes(junk)
    assert main(["lint", str(file)]) == 1


def test_der_is_told_from_its_shape() -> None:
    assert lint_file(golden_lint.certificate())[0].kind == "certificate"
    assert lint_file(golden_lint.crl())[0].kind == "crl"
