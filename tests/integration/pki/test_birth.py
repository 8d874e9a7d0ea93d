"""The birth of a root in a child process."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.support.signing import spki_of
from troth.kit.clock import FakeClock
from troth.pki import birth
from troth.pki.birth import BirthPlan, Unborn, born_root, give_birth, recorded
from troth.pki.issuer_classes import EVERY, IssuerClass
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.errors import BirthFailed
from troth.pki.signer.protocol import Bounds

SPKI, PEOPLE, OTHER = (spki_of(ec.generate_private_key(ec.SECP256R1())) for _ in range(3))
NOW = datetime(2028, 2, 29, 12, tzinfo=UTC)  # 29 February has no anniversary in 2033


def plan(data: Path, **changes: object) -> BirthPlan:
    made = BirthPlan(
        str(data),
        "Example",
        "Example Ltd",
        (
            Unborn("issuing", "Issuing CA I1", (IssuerClass.OPEN,), SPKI),
            Unborn("people", "People CA P1", (IssuerClass.PEOPLE,), PEOPLE),
        ),
        "http://pki.example/ca/root.cer",
        "http://pki.example/crl/root.crl",
    )
    return msgspec.structs.replace(made, **changes)


async def test_what_was_born_is_a_chain_that_openssl_accepts(tmp_path: Path) -> None:
    born = await give_birth(plan(tmp_path / "data"))
    assert born.mark == "trial, online-born"
    for name, content in (("root", born.root_certificate), *((one.slug, one.certificate) for one in born.issuing)):
        pem = x509.load_der_x509_certificate(content).public_bytes(Encoding.PEM)
        (tmp_path / f"{name}.pem").write_bytes(pem)
    crl = x509.load_der_x509_crl(born.root_crl).public_bytes(Encoding.PEM)
    (tmp_path / "crl.pem").write_bytes(crl)
    command = ["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", "root.pem", "-CRLfile", "crl.pem"]
    for name in ("issuing.pem", "people.pem"):
        done = subprocess.run([*command, name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_certificates_say_what_the_plan_says(tmp_path: Path) -> None:
    born = born_root(plan(tmp_path), FakeClock(NOW))
    root = x509.load_der_x509_certificate(born.root_certificate)
    issuing, people = (x509.load_der_x509_certificate(one.certificate) for one in born.issuing)
    crl = x509.load_der_x509_crl(born.root_crl)
    assert root.subject.rfc4514_string() == "CN=Example Root CA R1,O=Example Ltd"
    assert issuing.subject.rfc4514_string() == "CN=Example Issuing CA I1,O=Example Ltd"
    assert people.subject.rfc4514_string() == "CN=Example People CA P1,O=Example Ltd"
    assert [one.issuer_classes for one in born.issuing] == [(IssuerClass.OPEN,), (IssuerClass.PEOPLE,)]
    assert root.not_valid_after_utc == datetime(2048, 2, 29, 10, 59, 59, tzinfo=UTC)
    assert issuing.not_valid_after_utc == datetime(2033, 2, 28, 10, 59, 59, tzinfo=UTC)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 1
    limits = limits_from(born.issuing[0].certificate, SPKI, Bounds(), NOW)
    assert limits.path_length == 0
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - NOW > timedelta(days=364)
    text = str(issuing.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value)
    assert "http://pki.example/ca/root.cer" in text


def test_the_root_key_is_sealed_apart_from_its_passphrase_and_opens_with_it(tmp_path: Path) -> None:
    born = born_root(plan(tmp_path), FakeClock(NOW))
    custody = tmp_path / "offline-root"
    assert stat.S_IMODE(custody.stat().st_mode) == 0o700
    for path in custody.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sealed = Path(born.sealed_key).read_bytes()
    with pytest.raises(ValueError, match=r"(?i)password|decrypt"):
        load_pem_private_key(sealed, b"wrong")
    key = load_pem_private_key(sealed, Path(born.passphrase).read_bytes().strip())
    root = x509.load_der_x509_certificate(born.root_certificate)
    assert key.public_key() == root.public_key()
    assert "off" in (custody / "README.txt").read_text()
    passphrase = Path(born.passphrase).read_bytes().strip()
    others = [path for path in tmp_path.rglob("*") if path.is_file() and path != Path(born.passphrase)]
    assert not [path for path in others if passphrase in path.read_bytes()]


async def test_asked_again_the_same_root_comes_back_and_another_plan_is_refused(tmp_path: Path) -> None:
    born = await give_birth(plan(tmp_path))
    assert await give_birth(plan(tmp_path)) == born
    with pytest.raises(BirthFailed) as caught:
        await give_birth(plan(tmp_path, issuing=(Unborn("issuing", "CA", EVERY, OTHER),)))
    assert caught.value.code == "pki.birth.done"


@pytest.mark.chaos
@pytest.mark.parametrize("step", ["seal_root", "write_private", "settle"])
def test_a_birth_cut_short_at_any_step_ends_in_one_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def dark(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(birth, step, dark)
    with pytest.raises(KeyboardInterrupt):
        born_root(plan(tmp_path), FakeClock(NOW))
    monkeypatch.undo()
    recorded = (tmp_path / "birth.json").exists()
    born = born_root(plan(tmp_path), FakeClock(NOW))
    assert recorded is (step == "settle")
    key = load_pem_private_key(Path(born.sealed_key).read_bytes(), Path(born.passphrase).read_bytes().strip())
    assert key.public_key() == x509.load_der_x509_certificate(born.root_certificate).public_key()
    assert not (tmp_path / "offline-root.partial").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"installation": ""},
        {"installation": "x" * 41},
        {"organisation": "x" * 65},
        {"root_crl_url": "https://pki.example/crl/root.crl"},
        {"root_certificate_url": "http://pki.example/ca root.cer"},
        {"issuing": ()},
        {"issuing": (Unborn("issuing", "CA", EVERY, b"\x30\x00"),)},
        {"issuing": (Unborn("issuing", "x" * 24, EVERY, SPKI),)},
        {"issuing": (Unborn("issuing", "CA 1", EVERY, SPKI), Unborn("people", "CA 2", EVERY, SPKI))},
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(BirthFailed):
        await give_birth(plan(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


def test_the_record_of_a_birth_before_there_were_classes_is_one_authority_for_everybody(tmp_path: Path) -> None:
    born = born_root(plan(tmp_path), FakeClock(NOW))
    former = {
        "type": "birth",
        "root_certificate": born.root_certificate,
        "issuing_certificate": born.issuing[0].certificate,
        "root_crl": born.root_crl,
        "issuing_spki": SPKI,
        "mark": born.mark,
        "sealed_key": born.sealed_key,
        "passphrase": born.passphrase,
        "findings": [],
    }
    (tmp_path / "birth.json").write_bytes(msgspec.json.encode(former))
    found = recorded(tmp_path)
    assert found is not None
    assert found.root_certificate == born.root_certificate
    assert [(one.slug, one.issuer_classes, one.spki) for one in found.issuing] == [("issuing", EVERY, SPKI)]
