from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ceremonies import NOW
from troth.kit.canonical import Json, canonical_json
from troth.kit.clock import FakeClock
from troth.pki.ceremony.errors import TranscriptRefused
from troth.pki.ceremony.transcript import Transcript, prove

PLAN = bytes(range(32))
ABOUT: dict[str, Json] = {"ceremony": "root", "title": "T", "dry_run": False}


def written(directory: Path, *, seal: bool = True) -> Path:
    path = directory / "transcript.jsonl"
    transcript = Transcript.begin(path, PLAN, FakeClock(NOW), dict(ABOUT))
    transcript.note("signed", {"sha256": "00"})
    transcript.note("outputs", {"files": {"certificate.der": "ab"}})
    if seal:
        transcript.seal()
    return path


def test_a_sealed_transcript_is_proved(tmp_path: Path) -> None:
    proved = prove(written(tmp_path).read_bytes())
    assert (proved.plan, proved.ceremony, proved.outputs) == (PLAN, "root", {"certificate.der": "ab"})


def test_every_changed_octet_is_noticed(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(TranscriptRefused):
            prove(bytes(changed))


def test_a_line_that_is_left_out_moved_or_repeated_is_noticed(tmp_path: Path) -> None:
    lines = written(tmp_path).read_bytes().splitlines(keepends=True)
    for wrong in (lines[:1] + lines[2:], [lines[0], lines[2], lines[1], lines[3]], [lines[0], *lines], lines[:-1]):
        with pytest.raises(TranscriptRefused):
            prove(b"".join(wrong))


def test_a_seal_that_the_session_did_not_make_is_noticed(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(tmp_path).read_bytes().splitlines()]
    lines[-1]["data"]["signature"] = "A" * 86 + "=="
    with pytest.raises(TranscriptRefused, match="signature"):
        prove(b"".join(canonical_json(line) + b"\n" for line in lines))


def test_after_a_crash_it_goes_on_without_the_torn_line(tmp_path: Path) -> None:
    path = written(tmp_path, seal=False)
    with path.open("ab") as file:
        file.write(b'{"at":"2026')
    again = Transcript.begin(path, PLAN, FakeClock(NOW), dict(ABOUT))
    again.note("outputs", {"files": {}})
    again.seal()
    proved = prove(path.read_bytes())
    assert [line["kind"] for line in proved.lines].count("session.begun") == 2
    assert proved.session_key == again.session_key


def test_nothing_is_added_after_the_seal(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(TranscriptRefused):
        Transcript.begin(path, PLAN, FakeClock(NOW), dict(ABOUT))


def test_the_transcript_of_another_plan_is_not_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path, seal=False)
    with pytest.raises(TranscriptRefused):
        Transcript.begin(path, bytes(32), FakeClock(NOW), dict(ABOUT))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_no_transcript(content: bytes) -> None:
    for wrong in (content, content + b"\n"):
        with pytest.raises(TranscriptRefused):
            prove(wrong)
