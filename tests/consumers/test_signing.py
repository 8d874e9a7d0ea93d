"""code-signing and s-mime: osslsigncode signs and verifies a Windows program, openssl and gpgsm read signed mail."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consumers import Bureau, Consumer, Credential
from tests.support.programs import find_program
from troth.pki.errors import HARDWARE_REQUIRED, ProfileRefused

pytestmark = pytest.mark.xdist_group("signing")
FACTS = {"subject.name": "build-7", "user.name": "alice", "user.email": "alice@corp.test", "user.department": "Tools"}
MAIL = "From: alice@corp.test\nSubject: the keys\n\nThey are with the porter.\n"


def smallest_program() -> bytes:
    """A PE file with no section and no code: enough to be signed."""
    header = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 1, 0, 0, 0, 0, 0, 0)
    optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0x140000000, 4096, 512, 6, 0, 0, 0, 6, 0, 0, 4096, 512, 0, 3, 0,
                            1 << 20, 4096, 1 << 20, 4096, 0, 16)  # fmt: skip
    return (header + coff + optional + bytes(128)).ljust(512, b"\0")


def _signed_program(consumer: Consumer, credential: Credential) -> None:
    (consumer.home / "program.exe").write_bytes(smallest_program())
    consumer.run(
        "osslsigncode", "sign", "-certs", credential.chain, "-key", credential.key, "-h", "sha256",
        "-in", "program.exe", "-out", "signed.exe",
    )  # fmt: skip


def _verify_program(consumer: Consumer, bureau: Bureau, crl: Path, *, fails: bool = False) -> str:
    return consumer.run(
        "osslsigncode", "verify", "-CAfile", bureau.root, "-CRLfile", crl, "-in", "signed.exe", fails=fails
    )


def test_osslsigncode_verifies_a_program_until_its_signer_is_revoked(bureau: Bureau, consumer: Consumer) -> None:
    credential = bureau.issue("code-signing", FACTS, key="rsa3072", assurance="attested")
    _signed_program(consumer, credential)

    assert "Signature verification: ok" in _verify_program(consumer, bureau, bureau.crl("people"))
    told = _verify_program(consumer, bureau, bureau.crl("people", credential), fails=True)
    assert "certificate revoked" in told


@pytest.mark.parametrize("profile", ["s-mime", "wifi-user"])
def test_osslsigncode_takes_no_other_certificate_for_a_program(
    bureau: Bureau, consumer: Consumer, profile: str
) -> None:
    _signed_program(consumer, bureau.issue(profile, FACTS))

    told = _verify_program(consumer, bureau, bureau.crl("people"), fails=True)
    assert "certificate purpose" in told


@pytest.mark.parametrize("assurance", ["unproven", "mdm-asserted"])
def test_a_key_that_is_not_proved_to_live_in_hardware_signs_no_code(bureau: Bureau, assurance: str) -> None:
    with pytest.raises(ProfileRefused, match=f"the key is {assurance}") as caught:
        bureau.issue("code-signing", FACTS, key="rsa3072", assurance=assurance)
    assert caught.value.reason is HARDWARE_REQUIRED


def _signed_mail(consumer: Consumer, credential: Credential) -> None:
    (consumer.home / "mail").write_text(MAIL)
    consumer.run(
        "openssl", "cms", "-sign", "-in", "mail", "-signer", credential.certificate, "-inkey", credential.key,
        "-certfile", credential.authority, "-out", "signed",
    )  # fmt: skip


def test_openssl_verifies_mail_that_s_mime_signed_and_finds_the_address(bureau: Bureau, consumer: Consumer) -> None:
    _signed_mail(consumer, bureau.issue("s-mime", FACTS))

    consumer.run(
        "openssl", "cms", "-verify", "-in", "signed", "-CAfile", bureau.root, "-purpose", "smimesign",
        "-verify_email", "alice@corp.test", "-out", "read",
    )  # fmt: skip
    assert "with the porter" in (consumer.home / "read").read_text()
    consumer.run(
        "openssl", "cms", "-verify", "-in", "signed", "-CAfile", bureau.root, "-purpose", "smimesign",
        "-verify_email", "mallory@corp.test", "-out", "read", fails=True,
    )  # fmt: skip


@pytest.mark.parametrize("profile", ["wifi-user", "vpn"])
def test_openssl_takes_no_other_certificate_of_the_person_for_mail(
    bureau: Bureau, consumer: Consumer, profile: str
) -> None:
    _signed_mail(consumer, bureau.issue(profile, FACTS))

    told = consumer.run(
        "openssl", "cms", "-verify", "-in", "signed", "-CAfile", bureau.root, "-purpose", "smimesign", fails=True
    )
    assert "unsuitable certificate purpose" in told


def test_mail_is_encrypted_to_an_s_mime_certificate(bureau: Bureau, consumer: Consumer) -> None:
    credential = bureau.issue("s-mime", FACTS)
    (consumer.home / "mail").write_text(MAIL)

    consumer.run("openssl", "cms", "-encrypt", "-aes256", "-in", "mail", "-out", "sealed", credential.certificate)

    opened = consumer.run(
        "openssl", "cms", "-decrypt", "-in", "sealed", "-recip", credential.certificate, "-inkey", credential.key
    )
    assert "with the porter" in opened


@pytest.fixture
def gnupg(consumer: Consumer, bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of GnuPG that trusts the test's root."""
    find_program("gpgsm")
    home = consumer.home / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    told = consumer.run("openssl", "x509", "-in", bureau.root, "-noout", "-fingerprint", "-sha1")
    (home / "trustlist.txt").write_text(f"{told.split('=')[1].strip()} S relax\n")
    for authority in (bureau.root, bureau.authority("people")):
        consumer.run("gpgsm", "--batch", "--quiet", "--import", authority)
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_gpgsm_verifies_mail_that_s_mime_signed(bureau: Bureau, consumer: Consumer, gnupg: Path) -> None:
    credential = bureau.issue("s-mime", FACTS)
    (consumer.home / "mail").write_text(MAIL)
    consumer.run(
        "openssl", "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", "mail", "-signer",
        credential.certificate, "-inkey", credential.key, "-out", "signed",
    )  # fmt: skip

    told = consumer.run("gpgsm", "--batch", "--disable-crl-checks", "--verify", "signed")

    assert "Good signature" in told
    assert "alice@corp.test" in told
