from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.support.ceremonies import NOW, Office, Present
from tests.support.programs import find_program
from troth.kit.errors import TrothError
from troth.pki.algorithms import load_public, spki_of
from troth.pki.ceremony.proof import prove_results
from troth.pki.ceremony.run import hold
from troth.pki.ceremony.share_files import read_set, read_shares
from troth.pki.lint_full import sample_spki
from troth.pki.pem import pem

PRESENT = ("Anna", "Cleo", "Emil")
AT = str(int(NOW.timestamp()))
TOO_LATE = {"from": "2026-11-24T00:00:00Z", "until": "2047-01-01T00:00:00Z"}
TOO_EARLY = {"from": "2026-11-20T00:00:00Z", "until": "2027-01-01T00:00:00Z"}
ROOTS_OWN = {"country": "DE", "organization": "Example", "common_name": "Example Root CA R1"}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_der_x509_certificate(path.read_bytes())


def intermediate(office: Office, directory: str = "issuing", kind: str = "p256", **changes: Any) -> dict[str, Any]:
    spki = sample_spki(kind)
    return office.intermediate(pem(spki, "PUBLIC KEY"), hashlib.sha256(spki).hexdigest(), directory, **changes)


def refused(office: Office, document: dict[str, Any], *present: str) -> str:
    with pytest.raises(TrothError) as caught:
        office.hold(office.plan("refused.yaml", document), *present)
    return caught.value.code


def openssl(*arguments: str) -> None:
    find_program("openssl")
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("algorithm", ["p256", "ed25519", "rsa3072", "mldsa65", "mldsa87"])
def test_a_hierarchy_is_made_under_each_kind_of_key(office: Office, algorithm: str) -> None:
    office.hold(office.plan("root.yaml", office.root(algorithm=algorithm)))
    key = office.existing(algorithm=algorithm)
    office.hold(office.plan("i.yaml", intermediate(office, key=key)), *PRESENT)
    office.hold(office.plan("crl.yaml", office.crl(key=key)), *PRESENT)
    root, issuing = (certificate(office.directory / name / "certificate.der") for name in ("root", "issuing"))
    issuing.verify_directly_issued_by(root)
    crl = x509.load_der_x509_crl((office.directory / "crl-1" / "crl.der").read_bytes())
    assert crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]


def test_openssl_accepts_the_chain_and_the_crl(rooted: Office) -> None:
    rooted.hold(rooted.plan("i.yaml", intermediate(rooted, "ossl")), *PRESENT)
    rooted.hold(rooted.plan("crl.yaml", rooted.crl("ossl-crl")), *PRESENT)
    root = str(rooted.directory / "root" / "certificate.pem")
    crl = str(rooted.directory / "ossl-crl" / "crl.pem")
    chain = ["-x509_strict", "-attime", AT, "-CAfile", root, "-crl_check_all", "-CRLfile", crl]
    openssl("verify", *chain, str(rooted.directory / "ossl" / "certificate.pem"))
    openssl("crl", "-in", crl, "-CAfile", root, "-noout", "-verify")


def test_the_certificate_says_what_the_plan_says(rooted: Office) -> None:
    document = intermediate(rooted, "constrained")
    document["certificate"] |= {
        "name_constraints": {"permitted": ["dns:example.org", "ip:192.0.2.0/24"], "excluded": ["dns:a.example.org"]},
        "policies": ["1.3.6.1.4.1.99999.1"],
        "extended_key_usages": ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.9"],
        "ocsp_url": "http://pki.test/ocsp/root",
    }
    rooted.hold(rooted.plan("c.yaml", document), *PRESENT)
    made = certificate(rooted.directory / "constrained" / "certificate.der")
    constraints = made.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [name.value for name in constraints.value.excluded_subtrees or []] == ["a.example.org"]
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage.dotted_string for usage in usages] == ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.9"]
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert made.not_valid_after_utc.isoformat() == "2031-11-23T23:59:59+00:00"
    assert made.subject.rfc4514_string() == "CN=Example Issuing CA I1,O=Example,C=DE"


def test_a_cross_certificate_carries_subject_key_and_identifier_of_the_other(rooted: Office) -> None:
    rooted.hold(rooted.plan("old.yaml", rooted.root("other", certificate=_other_root())))
    document = rooted.document(
        "cross-certificate",
        "cross",
        key=rooted.existing(),
        inputs={"issuer": "root/certificate.pem", "certificate": "other/certificate.pem"},
        certificate={
            "validity": {"from": "2026-11-24T00:00:00Z", "until": "2031-11-23T23:59:59Z"},
            "path_length": 0,
            "ca_issuers_url": "http://pki.test/ca/root.cer",
            "crl_url": "http://pki.test/crl/root.crl",
        },
    )
    rooted.hold(rooted.plan("cross.yaml", document), *PRESENT)
    cross, other = (certificate(rooted.directory / name / "certificate.der") for name in ("cross", "other"))
    assert cross.subject == other.subject
    assert cross.public_key() == other.public_key()
    cross.verify_directly_issued_by(certificate(rooted.directory / "root" / "certificate.der"))


def test_a_key_ceremony_makes_a_key_that_its_custodians_can_use_for_a_root(office: Office) -> None:
    key = {"custody": "software", "algorithm": "p256"}
    office.hold(office.plan("key.yaml", office.document("key", "k", key=key, custodians=office.custodians())))
    document = office.root(key=office.existing("k", "p256"), custodians=None)
    office.hold(office.plan("root.yaml", document), *PRESENT)
    made = load_public(spki_of(certificate(office.directory / "root" / "certificate.der").public_key()))  # type: ignore[arg-type]
    assert pem(spki_of(made), "PUBLIC KEY") == (office.directory / "k" / "public-key.pem").read_bytes()


def test_a_root_in_an_encrypted_file_signs_its_crl(office: Office) -> None:
    office.hold(office.plan("root.yaml", office.root()))
    private = ec.generate_private_key(ec.SECP384R1())
    (office.directory / "k.pem").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open"))
    )
    (office.directory / "k.pass").write_text("open\n")
    key = {"custody": "pem", "algorithm": "p384", "file": "k.pem", "passphrase": "k.pass"}
    assert refused(office, office.crl(key=key)) == "ceremony.key.other"


@pytest.mark.parametrize(
    ("block", "change", "code"),
    [
        ("certificate", {"path_length": 1}, "ceremony.parent"),
        ("certificate", {"validity": TOO_LATE}, "ceremony.parent"),
        ("certificate", {"validity": TOO_EARLY}, "ceremony.parent"),
        ("certificate", {"subject": ROOTS_OWN}, "ceremony.parent"),
        ("certificate", {"name_constraints": {"permitted": ["dns:*.example.org"]}}, "ceremony.plan.refused"),
        ("inputs", {"public_key_sha256": "0" * 64}, "ceremony.input"),
        ("inputs", {"public_key": "nowhere.pem"}, "ceremony.input"),
        ("inputs", {"issuer": "issuing.spki.pem"}, "ceremony.input"),
        ("key", {"algorithm": "p256"}, "ceremony.key.other"),
    ],
)
def test_what_does_not_fit_its_issuer_or_inputs_is_refused_before_a_signature(
    rooted: Office, block: str, change: dict[str, Any], code: str
) -> None:
    document = intermediate(rooted)
    document[block] = document[block] | change
    assert refused(rooted, document, *PRESENT) == code
    assert not (rooted.directory / "issuing").exists()


@pytest.mark.parametrize("present", [(), ("Anna",), ("Anna", "Bert"), ("Anna", "Dora"), ("Dora", "Emil")])
def test_too_few_custodians_open_nothing(rooted: Office, present: tuple[str, ...]) -> None:
    assert refused(rooted, intermediate(rooted, "few"), *present) == "ceremony.share.missing"


def test_results_are_never_overwritten(rooted: Office) -> None:
    before = (rooted.directory / "root" / "certificate.der").read_bytes()
    assert refused(rooted, rooted.root()) == "ceremony.output.exists"
    assert (rooted.directory / "root" / "certificate.der").read_bytes() == before


def test_a_crl_keeps_what_was_revoked_and_only_counts_up(rooted: Office) -> None:
    rooted.hold(rooted.plan("c1.yaml", rooted.crl("c1")), *PRESENT)
    inputs = {"issuer": "root/certificate.pem", "previous_crl": "c1/crl.pem"}
    first = rooted.crl("c2", inputs=inputs)
    assert refused(rooted, first, *PRESENT) == "ceremony.parent"
    later = first | {"crl": first["crl"] | {"number": 2, "revoked": []}}
    assert refused(rooted, later, *PRESENT) == "ceremony.parent"
    rooted.hold(rooted.plan("c2.yaml", first | {"crl": first["crl"] | {"number": 2}}), *PRESENT)


def test_nothing_is_signed_when_the_operator_does_not_agree(rooted: Office) -> None:
    class Unwilling(Present):
        def consent(self, digest: bytes) -> None:
            raise KeyboardInterrupt

    plan = rooted.plan("no.yaml", intermediate(rooted, "unwilling"))
    with pytest.raises(KeyboardInterrupt):
        hold(plan, rooted.clock, Unwilling(rooted, PRESENT))
    assert not (rooted.directory / "unwilling").exists()
    kinds = (rooted.directory / ".unwilling.partial" / "transcript.jsonl").read_text()
    assert '"signing"' not in kinds


def test_a_key_that_signs_other_bytes_is_found_out(rooted: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    from troth.pki.ceremony import custody

    real = custody.signing_function
    monkeypatch.setattr(custody, "signing_function", lambda key: lambda message: real(key)(message + b"\0"))
    assert refused(rooted, intermediate(rooted, "other-bytes"), *PRESENT) == "ceremony.signed_other"
    assert not (rooted.directory / "other-bytes").exists()


def test_a_changed_sealed_key_does_not_open(rooted: Office, tmp_path: Path) -> None:
    sealed = json.loads((rooted.directory / "root" / "key.sealed").read_text())
    sealed["algorithm"] = "p256"
    (rooted.directory / "forged.sealed").write_text(json.dumps(sealed))
    key = rooted.existing() | {"sealed": "forged.sealed"}
    assert refused(rooted, intermediate(rooted, "forged", key=key), *PRESENT) == "ceremony.key.file"


def test_a_dry_run_does_it_all_and_says_everywhere_that_it_was_one(rooted: Office) -> None:
    plan = rooted.plan("dry.yaml", intermediate(rooted, "dry"))
    for _ in range(2):
        held = rooted.hold(plan, dry_run=True)
    assert held.directory.name == "dry.DRY-RUN"
    assert (held.directory / "certificate.pem").read_bytes().startswith(b"DRY RUN")
    proved, _ = prove_results(held.directory / "transcript.jsonl")
    assert proved.dry_run
    with pytest.raises(InvalidSignature):
        certificate(held.directory / "certificate.der").verify_directly_issued_by(
            certificate(rooted.directory / "root" / "certificate.der")
        )
    assert not (rooted.directory / "dry").exists()


def test_the_transcript_proves_every_result_beside_it(rooted: Office) -> None:
    held = rooted.hold(rooted.plan("t.yaml", intermediate(rooted, "proved")), *PRESENT)
    proved, beside = prove_results(held.directory / "transcript.jsonl", held.session_key)
    assert {*beside} == {*proved.outputs}
    assert "certificate.der" in beside
    with pytest.raises(TrothError, match="session key"):
        prove_results(held.directory / "transcript.jsonl", "00" * 32)
    (held.directory / "certificate.der").write_bytes(b"x")
    with pytest.raises(TrothError, match=r"certificate\.der"):
        prove_results(held.directory / "transcript.jsonl")


def test_words_of_shares_stand_in_age_files_alone(office: Office, capfd: pytest.CaptureFixture[str]) -> None:
    people = Present(office, PRESENT)
    held = hold(office.plan("root.yaml", office.root(algorithm="p256")), office.clock, people)
    document = office.crl(key=office.existing(algorithm="p256"))
    crl = hold(office.plan("crl.yaml", document), office.clock, people)
    listed = read_set(held.directory / "shares.json")
    files = sorted((held.directory / "shares").iterdir())
    words = read_shares(listed, files, list(office.identities.values()))
    assert len(words) == 5
    told = "\n".join([*people.told, *capfd.readouterr()])
    written = [path for path in (*held.directory.rglob("*"), *crl.directory.rglob("*")) if path.is_file()]
    for mine in words.values():
        # Three words in a row: single ones are in digests that are read aloud, too.
        rows = [" ".join(mine.split()[at : at + 3]) for at in range(3, 30)]
        assert not [row for row in rows if row in told]
        assert not [path for path in written if any(row.encode() in path.read_bytes() for row in rows)]
    assert not [path for path in written if b"PRIVATE KEY" in path.read_bytes()]
    assert (held.directory / "key.sealed").stat().st_mode & 0o077 == 0


def _other_root() -> dict[str, Any]:
    return {
        "subject": {"organization": "Old", "common_name": "Old Root CA"},
        "validity": {"from": "2026-11-24T00:00:00Z", "until": "2040-11-23T23:59:59Z"},
    }
