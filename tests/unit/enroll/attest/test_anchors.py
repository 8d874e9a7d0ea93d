"""Which roots stand for which format, and the path to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.attesting import BEGIN, Authority, certificate, maker, new_key, roots
from tests.unit.enroll.attest.conftest import NOW
from troth.enroll.attest.anchors import merged, read_roots, shipped_roots
from troth.enroll.attest.chain import find_root
from troth.enroll.attest.errors import ROOT_UNREADABLE, AttestationRefused
from troth.enroll.attest.model import Checks, Root
from troth.pki import der


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def test_the_shipped_roots_are_these() -> None:
    """Fingerprints as the makers publish them; a root that slipped in would fail here."""
    assert {kind: [one.sha256 for one in found] for kind, found in shipped_roots().items()} == {
        "apple": ["ccf59ef8fcb3017d97f8b5fa6fa90e7a3f9283f76b55ac6cf6eda8b8b949f05b"],
        "tpm": ["870c7a35ceab3d59979f2c6a524042d404cb71518004350925fb2ced79a999da"],
        "android-key": [
            "cedb1cb6dc896ae5ec797348bce9286753c2b38ee71ce0fbe34a9a1248800dfc",
            "6d9db4ce6c5c0b293166d08986e05774a8776ceb525d9e4329520de12ba4bcc0",
        ],
        "step": [
            "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546",
            "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8",
        ],
    }
    for found in shipped_roots().values():
        read_roots(_pem(*(one.certificate for one in found)), origin="again", at=NOW)


def test_an_operators_roots_replace_a_formats_own_and_others_are_added() -> None:
    own, more = roots("step")["step"], roots("tpm")["tpm"]
    found = merged(shipped_roots(), {"step": own, "android-key": ()}, {"tpm": more})
    assert found["step"] == own
    assert found["android-key"] == ()
    assert found["tpm"] == (*shipped_roots()["tpm"], *more)
    assert found["apple"] == shipped_roots()["apple"]
    assert merged({}, {"step": own}, {"step": own})["step"] == own


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no PEM",
        b"x" * 300_000,
        _pem(maker("step").issuing.certificate),
        _pem(certificate("leaf", key := new_key(), key, "leaf")),
        _pem(certificate("old", key, key, "old", ca=0, end=BEGIN + timedelta(days=1))),
        _pem(*[maker("step").root.certificate] * 65),
    ],
)
def test_what_is_no_root_is_refused(data: bytes) -> None:
    with pytest.raises(AttestationRefused) as refused:
        read_roots(data, origin="x", at=NOW)
    assert refused.value.reason is ROOT_UNREADABLE


def _found(chain: list[x509.Certificate], pinned: list[x509.Certificate], at: datetime = NOW) -> tuple[bool, str]:
    checks = Checks()
    root = find_root(chain, [Root(one, "test") for one in pinned], at=at, checks=checks)
    (check,) = checks.all()
    return root is not None, check.got


def _issued(by: Authority, name: str = "leaf", **options: object) -> x509.Certificate:
    return certificate(name, new_key(), by.key, by.certificate.subject.get_attributes_for_oid(
        x509.NameOID.COMMON_NAME)[0].value, **options)  # type: ignore[arg-type]  # fmt: skip


def test_a_root_that_was_sent_along_is_replaced_by_the_pinned_one_of_the_same_key() -> None:
    """Google re-issued its root with new dates: devices send the old one, which has expired."""
    root = maker("android-key").root
    old = certificate(
        "android-key Root", root.key, root.key, "android-key Root", ca=1, end=datetime(2021, 1, 1, tzinfo=UTC)
    )
    leaf = _issued(maker("android-key").issuing)
    chain = [leaf, maker("android-key").issuing.certificate, old]
    assert _found(chain, [root.certificate]) == (True, "2 links to CN=android-key Root")


def test_a_root_of_the_same_name_and_another_key_vouches_for_nothing() -> None:
    key = new_key()
    impostor = certificate("apple Root", key, key, "apple Root", ca=1)
    leaf = _issued(maker("apple").issuing)
    good, why = _found([leaf, maker("apple").issuing.certificate], [impostor])
    assert (good, "signature" in why) == (False, True)
    assert _found([leaf, maker("apple").issuing.certificate, impostor], [maker("apple").root.certificate])[0] is False


def test_the_one_of_several_roots_that_fits_is_found() -> None:
    leaf = _issued(maker("step").issuing)
    pinned = [maker("apple").root.certificate, maker("step").root.certificate]
    assert _found([leaf, maker("step").issuing.certificate], pinned)[0] is True


@pytest.mark.parametrize("chain", [[], [maker("step").root.certificate], [maker("step").issuing.certificate]])
def test_a_root_alone_attests_nothing(chain: list[x509.Certificate]) -> None:
    found, _ = _found(chain, [maker("step").root.certificate])
    assert found is (chain == [maker("step").issuing.certificate])


def test_no_root_no_path() -> None:
    assert _found([_issued(maker("step").issuing), maker("step").issuing.certificate], [])[0] is False


def test_order_counts_and_dates_and_path_lengths() -> None:
    leaf, issuing, root = _issued(maker("step").issuing), maker("step").issuing, maker("step").root
    assert _found([issuing.certificate, leaf], [root.certificate])[0] is False
    assert _found([leaf, issuing.certificate], [root.certificate], BEGIN - timedelta(days=1))[0] is False
    below = new_key()
    second = certificate("second", below, issuing.key, "step Sub CA 1", ca=0)
    deeper = certificate("deep", new_key(), below, "second")
    assert "path length" in _found([deeper, second, issuing.certificate], [root.certificate])[1]


def test_more_than_six_certificates_below_the_root_are_refused() -> None:
    key = new_key()
    root = certificate("0", key, key, "0", ca=9)
    chain: list[x509.Certificate] = []
    for depth in range(7):
        below = new_key()
        chain.insert(0, certificate(str(depth + 1), below, key, str(depth), ca=9))
        key = below
    assert "more than 6" in _found(chain, [root])[1]
    assert _found(chain[1:], [root])[0] is True


def test_a_link_over_sha1_is_refused() -> None:
    issuing, root = maker("step").issuing, maker("step").root.certificate
    sound = _issued(issuing)
    sha1 = der.sequence(der.oid("1.2.840.10045.4.1"))
    fields = der.Reader(sound.tbs_certificate_bytes).enter(der.SEQUENCE)
    version, serial, _ = fields.whole(), fields.whole(), fields.whole()
    tbs = der.sequence(version, serial, sha1, fields.rest())
    signature = issuing.key.sign(tbs, ec.ECDSA(hashes.SHA1()))  # the point of the test
    weak = x509.load_der_x509_certificate(der.sequence(tbs, sha1, der.bits(signature)))
    assert _found([sound, issuing.certificate], [root])[0] is True
    assert _found([weak, issuing.certificate], [root]) == (False, "certificate 0 is signed over sha1")
