"""Windows' way to a TPM, driven here by the functions that Microsoft documents, with a software TPM behind them."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.support.software_tpm import SoftwareTpm, tpm_of
from tests.support.tbs_double import shared_library
from troth.agent.errors import KEY_STORE, KeyTrouble
from troth.agent.keys.tpm import keyfile, tbs
from troth.agent.keys.tpm.device import Tpm, public_area
from troth.agent.keys.tpm.templates import ENDORSEMENTS
from troth.enroll.tpm.attestation_key import check_creation, read_attestation_key
from troth.enroll.tpm.credential import make_credential
from troth.tpm.structures import read_public
from troth.tpm.wire import tpm2b


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return ctypes.CDLL(str(shared_library(tmp_path_factory.mktemp("tbs"))))


@pytest.fixture
def windows(double: ctypes.CDLL, software_tpm: SoftwareTpm, monkeypatch: pytest.MonkeyPatch) -> Tpm:
    monkeypatch.setenv("TROTH_TEST_TBS_PORT", software_tpm.tcti.rpartition("=")[2])
    monkeypatch.setattr(tbs, "library", lambda: double)
    return Tpm("tbs")


def test_a_key_is_made_attested_and_signs_through_tbs(windows: Tpm, software_tpm: SoftwareTpm) -> None:
    birth = windows.make_attestation_key()
    held = read_attestation_key(birth.public)
    check_creation(held, birth.creation_data, birth.attestation, birth.signature)
    endorsement = windows.endorsement()
    assert endorsement.certificate == software_tpm.ek_certificate
    key = load_pem_public_key(endorsement.public_pem)
    assert isinstance(key, rsa.RSAPublicKey)
    made = make_credential(key, read_public(birth.public).name, b"only this TPM opens it")
    opened = windows.activate(endorsement.template, birth.pem, made.identity, made.secret)
    assert opened == b"only this TPM opens it"
    web = windows.make_key("p256")
    assert windows.certify(web, birth.pem, b"for this order").public == public_area(web)[0]
    digest = hashlib.sha256(b"data").digest()
    r, s = windows.sign(web, digest, "ecdsa", "sha256")
    public = load_pem_public_key(public_area(web)[1])
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = utils.encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    public.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    assert tpm_of(software_tpm).sign(web, digest, "ecdsa", "sha256"), "the way to the TPM does not matter to the key"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TROTH_TEST_TBS_NO_TPM", "1", "no TPM 2.0 that Windows knows"),
        ("TROTH_TEST_TBS_RESULT", "0x80284008", "TBS does not run"),
        ("TROTH_TEST_TBS_RESULT", "0x80280400", "does not let this user"),
        ("TROTH_TEST_TBS_RESULT", "0x80284099", "0x80284099"),
    ],
)
def test_what_tbs_refuses_is_told(
    windows: Tpm, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(KeyTrouble, match=says) as refused:
        windows.make_key("p256")
    assert refused.value.reason is KEY_STORE


def test_tbs_is_looked_for_on_windows_alone() -> None:
    with pytest.raises(KeyTrouble, match="on Windows"):
        Tpm("tbs").make_key("p256")


def test_a_library_without_the_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tbs, "library", lambda: ctypes.CDLL(None))
    with pytest.raises(KeyTrouble, match="Windows 8"):
        Tpm("tbs").make_key("p256")


@pytest.fixture
def passwords(software_tpm: SoftwareTpm) -> Iterator[bytes]:
    """Both hierarchies have it, as Windows sets them, and keys lie at the TCG's handles."""
    pytss, password = pytest.importorskip("tpm2_pytss"), b"chosen by Windows"
    owner, endorsement = pytss.ESYS_TR.OWNER, pytss.ESYS_TR.ENDORSEMENT
    storage = pytss.TPMT_PUBLIC.parse("rsa2048:aes128cfb", objectAttributes=0x30472)
    ek = pytss.TPM2B_PUBLIC.unmarshal(tpm2b(ENDORSEMENTS["EK-RSA2048"].public))[0]
    made = []
    with pytss.ESAPI(software_tpm.tcti) as tpm:
        _, held = tpm.get_capability(pytss.TPM2_CAP.HANDLES, 0x81000000, 64)
        there = {int(one) for one in held.data.handles}
        for handle, hierarchy, public in (
            (0x81000001, owner, pytss.TPM2B_PUBLIC(publicArea=storage)), (0x81010001, endorsement, ek),
        ):  # fmt: skip
            if handle not in there:
                key, *_ = tpm.create_primary(pytss.TPM2B_SENSITIVE_CREATE(), public, hierarchy)
                tpm.evict_control(owner, key, handle)
                tpm.flush_context(key)
                made.append(handle)
        for hierarchy in (owner, endorsement):
            tpm.hierarchy_change_auth(hierarchy, password)
    yield password
    with pytss.ESAPI(software_tpm.tcti) as tpm:
        for hierarchy in (owner, endorsement):
            tpm.tr_set_auth(hierarchy, password)
            tpm.hierarchy_change_auth(hierarchy, b"")
            tpm.tr_set_auth(hierarchy, b"")
        for handle in made:
            tpm.evict_control(owner, tpm.tr_from_tpmpublic(handle), handle)


@pytest.mark.parametrize("kept", [True, False])
def test_keys_are_wrapped_by_the_persistent_root_where_the_hierarchy_has_a_password(
    windows: Tpm, passwords: bytes, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept:
        monkeypatch.setenv("TROTH_TEST_TBS_OWNER", passwords.decode())
    key = windows.make_key("p256")
    monkeypatch.delenv("TROTH_TEST_TBS_OWNER", raising=False)
    assert keyfile.read(key).parent == 0x81000001
    assert windows.sign(key, bytes(32), "ecdsa", "sha256"), "by whoever knows no password, too"


def test_without_a_persistent_root_the_password_that_windows_has_kept_opens_the_hierarchy(
    windows: Tpm, software_tpm: SoftwareTpm, passwords: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("troth.agent.keys.tpm.device._STORAGE_ROOT", 0x81000F00)  # where nothing is
    with pytest.raises(KeyTrouble, match="CreatePrimary was refused: the authorization failed"):
        windows.make_key("p256")
    monkeypatch.setenv("TROTH_TEST_TBS_OWNER", passwords.decode())
    key = windows.make_key("p256")
    assert keyfile.read(key).parent == 0x40000001
    assert windows.sign(key, bytes(32), "ecdsa", "sha256")


def test_a_credential_is_activated_with_the_endorsement_password_that_windows_has_kept(
    windows: Tpm, software_tpm: SoftwareTpm, passwords: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    endorsement = windows.endorsement()
    assert endorsement.certificate == software_tpm.ek_certificate, "read, and the key found at its handle"
    key = load_pem_public_key(endorsement.public_pem)
    assert key == x509.load_der_x509_certificate(software_tpm.ek_certificate).public_key()
    birth = windows.make_attestation_key()
    assert isinstance(key, rsa.RSAPublicKey)
    made = make_credential(key, read_public(birth.public).name, b"secret")
    with pytest.raises(KeyTrouble, match="PolicySecret was refused: the authorization failed"):
        windows.activate(endorsement.template, birth.pem, made.identity, made.secret)
    monkeypatch.setenv("TROTH_TEST_TBS_ENDORSEMENT", passwords.decode())
    assert windows.activate(endorsement.template, birth.pem, made.identity, made.secret) == b"secret"
