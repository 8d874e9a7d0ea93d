"""What every custodian promises, whoever it is: the same tests over all five."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.custodians import CUSTODIANS, Bench
from tests.support.signing import authority_certificate
from troth.pki import algorithms
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import KeyRefused, KeyUnavailable
from troth.pki.keys.files import read_secret
from troth.pki.keys.keyring import Keyring
from troth.pki.keys.model import IssuingLimits, KeyMetadata, KeyPurpose
from troth.pki.keys.records import Record, Records
from troth.pki.signer.attachment import limits_from
from troth.pki.signer.protocol import Bounds

everyone = pytest.mark.parametrize("bench", CUSTODIANS, indirect=True)
elsewhere = pytest.mark.parametrize("bench", CUSTODIANS[1:], indirect=True)

#: moto makes no ML-DSA keys; RSA-4096 takes a token many seconds and has a test of its own.
_LEFT_OUT = {KeyAlgorithm.MLDSA44, KeyAlgorithm.MLDSA65, KeyAlgorithm.MLDSA87}


def made_by(bench: Bench, keys: Keyring, algorithm: KeyAlgorithm = KeyAlgorithm.P256) -> KeyMetadata:
    return keys.generate(KeyPurpose.ISSUING, algorithm, custodian=bench.name)


def signs(keys: Keyring, key: KeyMetadata, message: bytes = b"message") -> None:
    """Have ``key`` sign, and verify. Raises what signing raises."""
    signature = keys.signing_key(key.key_id).sign(message)
    algorithms.verify(algorithms.load_public(key.public_key), signature, message)


def limits(bench: Bench, spki: bytes) -> tuple[bytes, IssuingLimits]:
    certificate = authority_certificate(spki, bench.clock.now())
    return certificate, limits_from(certificate, spki, Bounds(), bench.clock.now())


@everyone
def test_keys_of_every_kind_it_names_sign_short_and_long_messages(bench: Bench) -> None:
    keys = bench.open()
    (state,) = [one for one in keys.states() if one.name == bench.name]
    known = set(state.algorithms) - ({KeyAlgorithm.RSA4096} if bench.name != "software" else set())
    if bench.name.startswith("aws"):
        known -= _LEFT_OUT
    for algorithm in sorted(known):
        made = made_by(bench, keys, algorithm)
        assert (made.algorithm, made.custodian) == (algorithm, bench.name)
        signs(keys, made)
        if not bench.name.startswith("aws"):  # moto signs a digest as if it were a message
            signs(keys, made, b"crl" * 100_000)
    keys.close()


@everyone
def test_keys_are_listed_oldest_first_and_are_the_same_after_a_restart(bench: Bench) -> None:
    keys = bench.open()
    first = made_by(bench, keys)
    bench.clock.advance(timedelta(seconds=1))
    second = made_by(bench, keys, KeyAlgorithm.P384)
    assert keys.list_keys()[-2:] == [first, second]
    keys.close()
    again = bench.open()
    assert again.list_keys() == [first, second]
    signs(again, first)
    signs(again, second)
    again.close()


@everyone
def test_limits_are_attached_once_and_for_good(bench: Bench) -> None:
    keys = bench.open()
    made = made_by(bench, keys)
    attached = keys.attach(made.key_id, *limits(bench, made.public_key))
    keys.close()
    again = bench.open()
    assert again.metadata(made.key_id) == attached
    assert attached.limits is not None
    with pytest.raises(KeyRefused) as caught:
        again.attach(made.key_id, *limits(bench, made.public_key))
    assert caught.value.code == "keys.attached"
    signs(again, made)
    again.close()


@everyone
def test_an_issuing_key_is_neither_exported_nor_forgotten(bench: Bench) -> None:
    keys = bench.open()
    made = made_by(bench, keys)
    for act in (keys.export, keys.forget):
        with pytest.raises(KeyRefused) as caught:
            act(made.key_id)
        assert caught.value.code == "keys.purpose"
    signs(keys, made)
    keys.close()


@everyone
def test_an_unknown_key_is_refused(bench: Bench) -> None:
    keys = bench.open()
    for act in (keys.metadata, keys.signing_key, keys.export, keys.forget):
        with pytest.raises(KeyRefused) as caught:
            act("issuing-of-nobody")
        assert caught.value.code == "keys.unknown"
    keys.close()


@elsewhere
def test_only_issuing_keys_are_held_elsewhere(bench: Bench) -> None:
    keys = bench.open()
    for purpose in (KeyPurpose.OCSP, KeyPurpose.NOTARY):
        with pytest.raises(KeyRefused) as caught:
            keys.generate(purpose, custodian=bench.name)
        assert caught.value.code == "keys.purpose"
    assert keys.list_keys() == []
    keys.close()


@elsewhere
def test_evidence_of_a_key_that_cannot_leave_is_kept(bench: Bench) -> None:
    keys = bench.open()
    made = made_by(bench, keys)
    assert made.evidence
    keys.close()
    again = bench.open()
    assert again.metadata(made.key_id).evidence == made.evidence
    again.close()


@elsewhere
def test_an_outage_is_a_clear_error_of_its_keys_alone_and_heals_by_itself(bench: Bench) -> None:
    assert bench.breaks is not None
    assert bench.mends is not None
    keys = bench.open()
    made, own = made_by(bench, keys), keys.generate(KeyPurpose.ISSUING)
    signs(keys, made)
    bench.breaks()
    with pytest.raises(KeyUnavailable) as caught:
        signs(keys, made)
    assert caught.value.code == "keys.custodian_unavailable"
    signs(keys, own)
    assert [trouble.key_id for trouble in keys.troubles()] == [made.key_id]
    (state,) = [one for one in keys.states() if one.name == bench.name]
    assert (state.state, state.code) == ("down", "keys.custodian_unavailable")
    bench.mends()
    with pytest.raises(KeyUnavailable):
        signs(keys, made)  # it is left alone for a moment, and the error is at once
    bench.clock.advance(timedelta(seconds=31))
    signs(keys, made)
    assert keys.troubles() == []
    keys.close()


@elsewhere
def test_a_start_during_an_outage_lists_the_keys_and_heals(bench: Bench) -> None:
    assert bench.breaks is not None
    assert bench.mends is not None
    keys = bench.open()
    made = made_by(bench, keys)
    keys.close()
    bench.breaks()
    again = bench.open()
    assert again.list_keys() == [made]
    again.held[bench.name].check()
    assert [trouble.code for trouble in again.troubles()] == ["keys.custodian_unavailable"]
    bench.mends()
    bench.clock.advance(timedelta(seconds=31))
    again.held[bench.name].check()
    assert again.troubles() == []
    signs(again, made)
    again.close()


@elsewhere
def test_limits_edited_on_disk_make_the_key_unusable_and_leave_the_others(bench: Bench) -> None:
    keys = bench.open()
    made, other = made_by(bench, keys), made_by(bench, keys)
    keys.attach(made.key_id, *limits(bench, made.public_key))
    keys.close()
    path = bench.data / "keys" / "held" / f"{made.key_id}.json"
    path.write_text(path.read_text().replace('"allow_ca":false', '"allow_ca":true'))
    again = bench.open()
    with pytest.raises(KeyUnavailable) as caught:
        again.signing_key(made.key_id)
    assert caught.value.code == "keys.damaged"
    assert again.list_keys() == [other]
    signs(again, other)
    again.close()


@elsewhere
def test_a_key_that_is_not_what_the_record_says_signs_nothing(bench: Bench) -> None:
    keys = bench.open()
    made, other = made_by(bench, keys), made_by(bench, keys)
    keys.close()
    # The record is made to point at another key, as if the custodian had been given another under the same name.
    records = Records(bench.data, read_secret(bench.data / "secrets" / "keystore.secret"))
    handles = {key_id: record for key_id, record in records.read() if record is not None}
    records.write(Record(handles[made.key_id].metadata, handles[other.key_id].handle))
    again = bench.open()
    with pytest.raises(KeyUnavailable) as caught:
        signs(again, made)
    assert caught.value.code == "keys.changed"
    signs(again, other)
    again.close()


@elsewhere
def test_keys_of_a_custodian_that_left_the_settings_are_listed_and_unusable(bench: Bench) -> None:
    keys = bench.open()
    made = made_by(bench, keys)
    keys.close()
    alone = Keyring.open(bench.data, bench.clock)
    assert alone.list_keys() == [made]
    with pytest.raises(KeyUnavailable) as caught:
        signs(alone, made)
    assert caught.value.code == "keys.custodian_settings"
    with pytest.raises(KeyRefused) as refused:
        alone.generate(KeyPurpose.ISSUING, custodian="pkcs11:nobody")
    assert refused.value.code == "keys.custodian_unknown"
    alone.close()
