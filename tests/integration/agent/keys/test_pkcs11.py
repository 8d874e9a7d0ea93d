"""Keys in a PKCS#11 token (SoftHSM)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.agents import Workshop, root
from tests.support.clocks import START
from tests.support.tokens import LIBRARY, SoftToken
from troth.agent.errors import KEY_KIND, KEY_MISSING, KEY_STORE, KeyTrouble
from troth.agent.keys.model import HoldsCertificates, KeyPlace, KeyType
from troth.agent.keys.pkcs11 import Pkcs11Keys, provider_pem
from troth.agent.settings import CertificateSettings, OutputSettings, Pkcs11KeySettings
from troth.client.csr import certificate_request
from troth.kit.clock import FakeClock

pkcs11 = pytest.importorskip("pkcs11")


@pytest.fixture
def place(soft_token: SoftToken) -> Pkcs11Keys:
    return Pkcs11Keys(LIBRARY, soft_token.label, str(soft_token.pin_file))


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_a_request_is_signed_in_the_token(place: Pkcs11Keys, kind: KeyType) -> None:
    keys: KeyPlace = place
    made = keys.create("web-1", kind)
    found = keys.load("web-1")
    request = x509.load_der_x509_csr(certificate_request(found.private_key(), dns=["www.example.org"]))

    assert request.is_signature_valid
    assert request.public_key() == made.public_key == found.public_key
    assert not found.access().exportable
    keys.remove("web-1")
    with pytest.raises(KeyTrouble) as refused:
        keys.load("web-1")
    assert refused.value.reason is KEY_MISSING


def test_the_key_never_leaves(place: Pkcs11Keys) -> None:
    ecdsa, rsa = place.create("ec", "p256").private_key(), place.create("rsa", "rsa2048").private_key()
    assert isinstance(ecdsa, ec.EllipticCurvePrivateKey)
    never: list[Callable[[], object]] = [
        ecdsa.private_numbers,
        lambda: ecdsa.exchange(ec.ECDH(), ecdsa.public_key()),
        lambda: rsa.sign(b"", padding.PKCS1v15(), hashes.SHA1()),  # type: ignore[call-arg, arg-type]
        lambda: rsa.decrypt(b"", padding.PKCS1v15()),  # type: ignore[union-attr]
        rsa.private_numbers,  # type: ignore[union-attr]
    ]
    never += [
        lambda key=key: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[misc]
        for key in (ecdsa, rsa)
    ]
    for ask in never:
        with pytest.raises(KeyTrouble) as refused:
            ask()
        assert refused.value.reason is KEY_KIND
    assert copy.copy(ecdsa) is copy.deepcopy(ecdsa) is ecdsa
    assert copy.copy(rsa) is copy.deepcopy(rsa) is rsa
    assert (ecdsa.curve.name, ecdsa.key_size) == ("secp256r1", 256)
    with place.session() as session:
        [private] = session.get_objects(
            {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.LABEL: "ec"}
        )
        assert private[pkcs11.Attribute.SENSITIVE]
        assert not private[pkcs11.Attribute.EXTRACTABLE]


def test_a_digest_is_signed_as_it_is(place: Pkcs11Keys) -> None:
    key = place.create("web", "p384").private_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    digest = hashes.Hash(hashes.SHA384())
    digest.update(b"content")
    signature = key.sign(digest.finalize(), ec.ECDSA(Prehashed(hashes.SHA384())))
    key.public_key().verify(signature, b"content", ec.ECDSA(hashes.SHA384()))


def test_a_certificate_lies_beside_its_key_and_only_one(place: Pkcs11Keys) -> None:
    key = place.create("web", "p256")
    assert isinstance(place, HoldsCertificates)
    first, second = (
        x509.load_pem_x509_certificate(root().issue(key.public_key, ["a.example"], START)).public_bytes(Encoding.DER)
        for _ in range(2)
    )
    for one in (first, first, second):
        place.attach("web", one)
    with place.session() as session:
        held = list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE}))
        assert [bytes(one[pkcs11.Attribute.VALUE]) for one in held] == [second]
    place.remove("web")
    with place.session() as session:
        assert list(session.get_objects({pkcs11.Attribute.LABEL: "web"})) == []


def test_a_wrong_pin_is_tried_once(place: Pkcs11Keys, soft_token: SoftToken) -> None:
    soft_token.pin_file.write_text("1234-wrong")
    for _ in range(5):
        with pytest.raises(KeyTrouble, match="refuse") as refused:
            place.load("web")
        assert refused.value.reason is KEY_STORE
        assert "1234-wrong" not in str(refused.value)
    soft_token.pin_file.write_text("94217-pin-of-a-test\n")
    assert place.create("web", "p256"), "five wrong ones would have locked the token"


def test_what_is_not_there_is_told(soft_token: SoftToken, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    for library, token, pin, told in (
        ("/no/library.so", soft_token.label, soft_token.pin_file, "no PKCS#11 library"),
        (LIBRARY, "another", soft_token.pin_file, "'another'"),
        (LIBRARY, soft_token.label, empty, "holds no PIN"),
    ):
        with pytest.raises(KeyTrouble, match=told):
            Pkcs11Keys(library, token, str(pin)).load("web")


def test_a_token_that_is_pulled_and_put_back_goes_on(place: Pkcs11Keys, soft_token: SoftToken) -> None:
    key = place.create("web", "p256")
    soft_token.pull()
    with pytest.raises(pkcs11.PKCS11Error):
        pkcs11.lib(str(Path(LIBRARY).resolve())).reinitialize()  # SoftHSM looks for tokens only then
    with pytest.raises(KeyTrouble):
        place.load("web")
    soft_token.put_back()
    assert place.load("web").public_key == key.public_key


def test_the_library_may_have_two_names(place: Pkcs11Keys, soft_token: SoftToken, tmp_path: Path) -> None:
    (tmp_path / "token.so").symlink_to(LIBRARY)
    key = place.create("web", "p256")
    again = Pkcs11Keys(str(tmp_path / "token.so"), soft_token.label, str(soft_token.pin_file))
    assert again.load("web").public_key == key.public_key


def test_openssls_provider_finds_the_key_by_its_pem(place: Pkcs11Keys, soft_token: SoftToken) -> None:
    access = place.create("web", "p256").access()
    label = soft_token.label.replace(" ", "%20")
    assert access.uri == f"pkcs11:token={label};object=web;type=private"
    assert access.pem == provider_pem(access.uri)
    assert access.pem.startswith(b"-----BEGIN PKCS#11 PROVIDER URI-----\n")


async def test_a_certificate_is_kept_with_its_key_in_the_token(
    soft_token: SoftToken, tmp_path: Path, clock: FakeClock
) -> None:
    kept = Pkcs11KeySettings(library=LIBRARY, token=soft_token.label, pin_file=str(soft_token.pin_file))
    settings = CertificateSettings(
        names=("www.example.org",),
        key=kept,
        output=(
            OutputSettings(form="fullchain", path=f"{tmp_path}/web.pem"),
            OutputSettings(form="key", path=f"{tmp_path}/web.key"),
        ),
    )
    workshop = Workshop(tmp_path, clock, settings)
    workshop.keys = Pkcs11Keys(LIBRARY, soft_token.label, str(soft_token.pin_file))
    for generation in (1, 2, 3):
        look = await workshop.keeper().renew()
        assert look.meta is not None
        assert look.meta.number == generation
    label = look.meta.label
    with workshop.keys.session() as session:
        kinds = [one[pkcs11.Attribute.LABEL] for one in session.get_objects()]
    assert len(set(kinds)) == 2, "the present one and the one before"
    assert kinds.count(label) == 3, "key, public key and certificate"
    assert not (workshop.current / "key.pem").exists()
    assert (tmp_path / "web.key").read_bytes().startswith(b"-----BEGIN PKCS#11 PROVIDER URI")
