"""A PKCS#11 token in particular: its attributes, its PIN, and what happens when it is pulled, emptied or swapped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.support.custodians import Bench
from tests.support.tokens import PIN
from troth.kit.settings import Pkcs11Custodian
from troth.pki import algorithms
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import KeyRefused, KeyUnavailable
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import KeyMetadata, KeyPurpose
from troth.pki.keys.pkcs11_library import Library, api

pytestmark = pytest.mark.parametrize("bench", ["pkcs11"], indirect=True)


@contextlib.contextmanager
def opened(bench: Bench) -> Iterator[Keyring]:
    keys = bench.open()
    try:
        yield keys
    finally:
        keys.close()


def made_by(keys: Keyring, algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> KeyMetadata:
    return keys.generate(KeyPurpose.ISSUING, algorithm, custodian="pkcs11:test")


def signs(keys: Keyring, key: KeyMetadata, message: bytes = b"message") -> None:
    signature = keys.signing_key(key.key_id).sign(message)
    algorithms.verify(algorithms.load_public(key.public_key), signature, message)


def code_of(keys: Keyring, key: KeyMetadata) -> str:
    with pytest.raises(KeyUnavailable) as caught:
        signs(keys, key)
    return caught.value.code


def test_the_attributes_that_only_the_token_can_set_are_read_back(bench: Bench) -> None:
    with opened(bench) as keys:
        evidence = dict(made_by(keys).evidence)
    wanted = {"SENSITIVE": "true", "EXTRACTABLE": "false", "PRIVATE": "true", "MODIFIABLE": "false", "DERIVE": "false",
              "ALWAYS_SENSITIVE": "true", "NEVER_EXTRACTABLE": "true", "LOCAL": "true"}  # fmt: skip
    assert {name: evidence[name] for name in wanted} == wanted
    assert evidence["token model"].startswith("SoftHSM")


def test_the_private_half_cannot_be_read_out_of_the_token(bench: Bench) -> None:
    with opened(bench) as keys:
        made = made_by(keys)
        assert bench.token is not None
        library, pkcs11 = Library.at(bench.token.library), api()

        def value() -> object:
            token = library.loaded().get_token(token_label=bench.token.label)  # type: ignore[union-attr]
            with token.open() as session:
                return session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=made.key_id)[
                    pkcs11.Attribute.VALUE
                ]

        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            library.lane.call(value, 10)


def test_a_token_that_does_not_keep_its_promise_gets_no_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("troth.pki.keys.pkcs11_token.PROMISED", {"EXTRACTABLE": True, "LOCAL": True})
    with opened(bench) as keys:
        with pytest.raises(KeyUnavailable) as caught:
            made_by(keys)
        assert caught.value.code == "keys.evidence"
        assert "EXTRACTABLE" in caught.value.detail
        assert keys.list_keys() == []


def test_an_rsa_key_of_4096_bits_signs(bench: Bench) -> None:
    # A token may take many seconds for it, hence the patience of ten times the limit.
    settings = bench.settings["test"]
    assert isinstance(settings, Pkcs11Custodian)
    with opened(bench) as keys:
        signs(keys, made_by(keys, KeyAlgorithm.RSA4096))


def test_another_token_put_in_its_place_signs_nothing(bench: Bench) -> None:
    assert bench.token is not None
    with opened(bench) as keys:
        made = made_by(keys)
        bench.token.swap()
        assert code_of(keys, made) == "keys.gone"
        assert [one.state for one in keys.states()] == ["ready", "ready"]


def test_a_key_deleted_in_the_token_is_told_and_the_others_go_on(bench: Bench) -> None:
    assert bench.token is not None
    with opened(bench) as keys:
        lost, kept = made_by(keys), made_by(keys)
        library, pkcs11 = Library.at(bench.token.library), api()

        def delete() -> None:
            token = library.loaded().get_token(token_label=bench.token.label)  # type: ignore[union-attr]
            with token.open(rw=True) as session:
                session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=lost.key_id).destroy()

        library.lane.call(delete, 10)
        assert code_of(keys, lost) == "keys.gone"
        signs(keys, kept)
        assert [trouble.key_id for trouble in keys.troubles()] == [lost.key_id]


def test_a_refused_pin_is_not_tried_again_until_it_is_another(bench: Bench) -> None:
    assert bench.token is not None
    with opened(bench) as keys:
        made = made_by(keys)
    pin = bench.token.pin_file
    pin.write_text("a-wrong-pin")
    with opened(bench) as keys:
        assert code_of(keys, made) == "keys.pin_refused"
        bench.clock.advance(timedelta(minutes=1))
        # The library is not even asked: with three wrong PINs a real token locks itself.
        library = Library.at(bench.token.library)
        loaded, library._loaded = library._loaded, None
        try:
            assert code_of(keys, made) == "keys.pin_refused"
        finally:
            library._loaded = loaded
        pin.write_text(PIN)
        bench.clock.advance(timedelta(minutes=1))
        signs(keys, made)


def test_a_sealed_token_opens_with_its_pin_and_not_with_another(bench: Bench) -> None:
    assert bench.token is not None
    bench.settings["test"] = Pkcs11Custodian(
        module=bench.token.library, token_label=bench.token.label, pin="unseal"
    )  # fmt: skip
    with opened(bench) as keys:
        with pytest.raises(KeyUnavailable) as caught:
            made_by(keys)
        assert caught.value.code == "signer.sealed"
        with pytest.raises(KeyUnavailable) as caught:
            keys.unseal("pkcs11:test", b"a-wrong-pin")
        assert caught.value.code == "keys.pin_refused"
        assert [one.state for one in keys.states()] == ["ready", "sealed"]
        keys.unseal("pkcs11:test", PIN.encode())
        signs(keys, made_by(keys))


def test_a_library_or_token_that_is_not_there_is_told(bench: Bench) -> None:
    assert bench.token is not None
    pin = f"file:{bench.token.pin_file}"
    for settings, code in (
        (Pkcs11Custodian(module="/usr/lib/no-such-library.so", token_label="x", pin=pin), "keys.custodian_settings"),
        (Pkcs11Custodian(module=bench.token.library, token_label="no such", pin=pin), "keys.custodian_unavailable"),
    ):
        bench.settings["test"] = settings
        with opened(bench) as keys:
            with pytest.raises(KeyUnavailable) as caught:
                made_by(keys)
            assert caught.value.code == code


def test_a_key_that_was_in_the_token_before_is_taken_by_its_label(bench: Bench) -> None:
    with opened(bench) as keys:
        made = made_by(keys)
        assert keys.adopt("pkcs11:test", made.key_id) == made  # known already
    for record in (bench.data / "keys" / "held").glob("*.json"):
        record.unlink()
    with opened(bench) as keys:
        assert keys.list_keys() == []
        taken = keys.adopt("pkcs11:test", made.key_id)
        assert (taken.public_key, taken.algorithm, taken.custodian) == (made.public_key, made.algorithm, made.custodian)
        assert dict(taken.evidence)["ORIGIN"] == "made before Troth"
        signs(keys, taken)
        with pytest.raises(KeyUnavailable) as caught:
            keys.adopt("pkcs11:test", "nobody's")
        assert caught.value.code == "keys.gone"
        with pytest.raises(KeyRefused):
            keys.adopt("software", made.key_id)
    with opened(bench) as keys:
        signs(keys, taken)
