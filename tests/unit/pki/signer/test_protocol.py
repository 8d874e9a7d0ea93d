"""Frames: cut anywhere, bounded before they are kept."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.kit.ids import new_id
from troth.pki.signer import protocol
from troth.pki.signer.roles import ROLES


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_a_stream_cut_anywhere_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    frames, found = protocol.Frames(50), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += frames.feed(stream[:cut])
        stream = stream[cut:]
    assert found == bodies


def test_a_frame_is_refused_by_its_announced_length() -> None:
    frames = protocol.Frames(10)
    assert frames.feed((10).to_bytes(4, "big")) == []
    with pytest.raises(protocol.FrameTooLarge):
        protocol.Frames(10).feed((11).to_bytes(4, "big"))


def test_a_request_reads_back_as_it_was_sent() -> None:
    request = protocol.Certify(7, "issuing-1", b"\x30\x00", new_id())
    (body,) = protocol.Frames(1000).feed(protocol.frame(request))
    assert protocol.decode_request(body) == request


@pytest.mark.parametrize(
    "message",
    [
        {"op": "sign", "n": 1},
        {"op": "health", "n": 1, "nonce": b"", "more": 1},
        {"op": "health"},
        {"op": "welcome"},
        [],
        1,
    ],
)
def test_unknown_operations_and_fields_are_refused(message: object) -> None:
    with pytest.raises(msgspec.MsgspecError):
        protocol.decode_request(msgspec.msgpack.encode(message))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_typed_error(data: bytes) -> None:
    try:
        protocol.decode_request(data)
    except msgspec.MsgspecError:
        pass


def test_every_permission_in_the_table_is_an_operation() -> None:
    known = {
        "certify",
        "sign_crl",
        "generate_key:ocsp",
        "generate_key:ra",
        "generate_key:radius",
        "list_keys",
        "public_key",
    }
    known |= {"generate_key:issuing", "attach_authority", "release_key", "health", "notary_state", "checkpoint"}
    known |= {"list_approvers", "ask_registration", "pin_approver", "ask_approval", "register_approver"}
    known |= {
        "remove_approver",
        "set_approvals",
        "custody",
        "unseal",
        "take_key",
        "adopt_key",
        "sign_jwt",
        "generate_key:jwt",
    }
    assert set().union(*(role.permissions | role.approved for role in ROLES.values())) == known


def test_no_role_but_setup_touches_authorities_and_none_can_do_everything() -> None:
    assert [name for name, role in ROLES.items() if "attach_authority" in role.permissions] == ["setup"]
    assert [name for name, role in ROLES.items() if "release_key" in role.permissions] == ["status", "radius"]
    assert [name for name, role in ROLES.items() if "checkpoint" in role.permissions] == ["worker"]
    assert "certify" not in ROLES["setup"].permissions
