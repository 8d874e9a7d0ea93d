"""Keys whose private half anybody can have are refused wherever a key comes in."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from troth.pki import algorithms, keycheck
from troth.pki.csr import parse_csr
from troth.pki.errors import KEY_PUBLISHED, KeyRefused
from troth.pki.keycheck import check_key, check_spki
from troth.pki.published import DEBIAN, PUBLISHED, _read

#: RFC 6979, A.2.5.
RFC_6979 = int("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721", 16)
#: What OpenSSL 0.9.8c-1 on 32-bit Debian made as process 1 with a seed file (CVE-2008-0166).
DEBIAN_PID_1 = (
    "BB97F04E31DDF9F07513EBCF51E362C9486AE3AA1CAEBE0F179069169E57101547F4275EDA68CAC1275BED7E70C627077DEB"
    "7786D1B30077265CA7ED8B86A612051E8411E46ECCA6F54BD5AF0A7CBFEC3DA1172BF84490A249CE26EB7867BA393C8BCE86"
    "CA604EB372EFBA7AB2B5E967775598A3D109D4CE12E50A8F83582A7ABEEDAB3D1236C395E4A35FD215177477108F1F487EB0"
    "B90FA497801352D0A5769E889F9338A8C7F10377D4487D31E9DB195653AE7867E13ED410CD5314CDEA9BF4794AAE70235C4E"
    "8AEDB7A4CD464B30ACF20EE9BFDA9C48D01B343E876B8E1479DD15D75E92AF73BB4B1224C2661D7ED186D37DD06A86103A13"
    "C4B121A6661D"
)


#: And on 64-bit Debian as process 32,767, the last one.
DEBIAN_PID_32767 = (
    "C7953044A860F7366C45DD683702FE647C3019103681ECD11BFEF3BA65C925DC97042221F72270D7E3E7768B0E08C7BBCEEE"
    "A28B6105D5FA90E93F682F782E6CF8B8158C8199460721FB5B680128D8D92849BEF21A4F6FAF0B0C437BD021C26877311780"
    "83DDB2FD521B763C9A6EF9172CA1050D9C3E4F5CF1FACA7562D69D596E3062D18ADDE8ACA7730382FC2DBB9D9A5C14357C9B"
    "9D26073F67B5E451DFADFDF5D55961ED88718E1DE5BA76824B7E611B114F0714791FEE1DF0E107ABCA22080348B6CB688A81"
    "D86C5DC0EED0CC5A17BE06DE5C84DA7E50CB58EF1BBCB3CFD2BDAE6E89EC432A6D06EB631FE42B4D458963D450B109226499"
    "66A27C3A1CEB"
)


@pytest.mark.parametrize(
    "key",
    [
        ec.derive_private_key(RFC_6979, ec.SECP256R1()).public_key(),
        ec.derive_private_key(1, ec.SECP384R1()).public_key(),
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(),
        rsa.RSAPublicNumbers(65537, int(DEBIAN_PID_1, 16)).public_key(),
        rsa.RSAPublicNumbers(65537, int(DEBIAN_PID_32767, 16)).public_key(),
    ],
    ids=["rfc-6979", "generator", "zero-seed", "debian", "debian-64"],
)
def test_a_published_key_is_refused(key: algorithms.PublicKey) -> None:
    assert check_key(key).kind  # nothing else is wrong with it
    for _ in range(2):  # what is remembered of keys that were looked at is only the sound ones
        with pytest.raises(KeyRefused) as refused:
            check_spki(algorithms.spki_of(key))
        assert refused.value.reason is KEY_PUBLISHED


def test_of_keys_that_were_found_sound_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keycheck, "_REMEMBERED", 3)
    for _ in range(10):
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        first = check_spki(algorithms.spki_of(key))
        assert check_spki(first.spki) == first == check_key(key)
        assert len(keycheck._sound) <= 3


def test_a_request_for_a_published_key_is_refused() -> None:
    key = ec.derive_private_key(RFC_6979, ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(KeyRefused) as refused:
        parse_csr(request.public_bytes(serialization.Encoding.DER))
    assert refused.value.reason is KEY_PUBLISHED


@pytest.mark.parametrize("table", [PUBLISHED, DEBIAN], ids=["published", "debian"])
def test_a_list_is_sorted_and_without_doubles(table: tuple[str, int]) -> None:
    name, width = table
    data = _read(name)
    entries = [data[at : at + width] for at in range(0, len(data), width)]
    assert len(entries) > 10_000
    assert len(data) % width == 0
    assert entries == sorted(set(entries))


def test_a_fresh_key_is_in_no_list() -> None:
    check_spki(algorithms.spki_of(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()))
