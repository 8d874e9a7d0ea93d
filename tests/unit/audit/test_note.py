"""Signed notes: the published example, and everything that must not pass for one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from troth.audit.errors import NoteInvalid
from troth.audit.note import CheckpointText, NoteKey, open_checkpoint, open_note, sign_note

#: The example of the signed-note specification (golang.org/x/mod/sumdb/note).
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = NoteKey("troth.example/ledger", PRIVATE.public_key().public_bytes_raw())
STATED = CheckpointText("troth.example/ledger", 20_852_163, bytes(range(32)))


def test_the_published_note_opens_with_the_published_key() -> None:
    assert open_note(PUBLISHED_NOTE, NoteKey.parse(PUBLISHED_KEY)).startswith("If you think")


def test_a_verifier_key_reads_back_from_its_text() -> None:
    assert NoteKey.parse(str(KEY)) == KEY
    assert str(NoteKey.parse(PUBLISHED_KEY)) == PUBLISHED_KEY


@pytest.mark.parametrize(
    "text", ["", "a+b+c", "a+00000000+AAAA", PUBLISHED_KEY[:-1], PUBLISHED_KEY.replace("c74f", "c74e")]
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        NoteKey.parse(text)


def test_a_checkpoint_opens_as_what_was_stated() -> None:
    assert open_checkpoint(sign_note(STATED.encode(), KEY, PRIVATE.sign), KEY) == STATED


def test_a_checkpoint_of_another_log_is_refused_although_its_signature_verifies() -> None:
    other = CheckpointText("other.example/ledger", 1, bytes(32))
    with pytest.raises(NoteInvalid):
        open_checkpoint(sign_note(other.encode(), KEY, PRIVATE.sign), KEY)


def test_signatures_of_witnesses_are_passed_over() -> None:
    witness = Ed25519PrivateKey.generate()
    witness_key = NoteKey("witness.example", witness.public_key().public_bytes_raw())
    note = sign_note(STATED.encode(), KEY, PRIVATE.sign)
    cosigned = note + sign_note(STATED.encode(), witness_key, witness.sign).rpartition("\n\n")[2]
    assert open_checkpoint(cosigned, KEY) == STATED
    assert open_note(cosigned, witness_key) == STATED.encode()


def test_a_note_by_another_key_of_the_same_name_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    forged = sign_note(STATED.encode(), NoteKey(KEY.name, other.public_key().public_bytes_raw()), other.sign)
    with pytest.raises(NoteInvalid):
        open_note(forged, KEY)


@given(st.data())
def test_a_note_with_one_character_changed_never_states_anything_else(data: st.DataObject) -> None:
    note = sign_note(STATED.encode(), KEY, PRIVATE.sign)
    at = data.draw(st.integers(0, len(note) - 1))
    changed = note[:at] + data.draw(st.characters(codec="utf-8").filter(lambda c: c != note[at])) + note[at + 1 :]
    with pytest.raises(NoteInvalid):
        open_checkpoint(changed, KEY)


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_typed_error(text: str) -> None:
    with pytest.raises(NoteInvalid):
        open_checkpoint(text, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "o\n01\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n1\nAAAA\n",
        "o\n1\n",
        "\n1\n" + "A" * 43 + "=\n",
        "o\n1\n" + "A" * 42 + "B=\n",
        "o\n0\n1\n" + "A" * 43 + "=\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        CheckpointText.parse(text)


def test_a_text_with_control_characters_or_no_last_newline_is_not_signed() -> None:
    for text in ("no newline", "a\tb\n"):
        with pytest.raises(NoteInvalid):
            sign_note(text, KEY, PRIVATE.sign)
