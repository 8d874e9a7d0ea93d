"""A TPM behind a character device, as Linux has it: a terminal stands for the device, a software TPM answers."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator

import pytest

from tests.support.software_tpm import SoftwareTpm, tpm_of
from troth.agent.errors import KeyTrouble
from troth.agent.keys.tpm.device import Tpm
from troth.agent.keys.tpm.doors import SocketDoor


@pytest.fixture
def device(software_tpm: SoftwareTpm) -> Iterator[str]:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    path = os.ttyname(theirs)

    def serve() -> None:
        while True:
            try:
                command = os.read(ours, 4096)
            except OSError:  # nobody has it open any more
                return
            while len(command) < 6 or len(command) < int.from_bytes(command[2:6]):
                command += os.read(ours, 4096)
            if command[6:10] == b"\0\0\0\0":
                return
            door = SocketDoor(software_tpm.tcti.partition(":")[2])
            try:
                answer = door.exchange(command)
            finally:
                door.close()
            os.write(ours, answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"device:{path}"
    os.write(theirs, b"\x80\x01\0\0\0\x0a\0\0\0\0")
    thread.join()
    os.close(theirs)
    os.close(ours)


def test_a_key_is_made_and_signs_through_a_device(device: str, software_tpm: SoftwareTpm) -> None:
    tpm = Tpm(device)
    key = tpm.make_key("p256")
    assert len(tpm.sign(key, bytes(32), "ecdsa", "sha256")) == 2
    assert tpm.endorsement().certificate == software_tpm.ek_certificate
    assert tpm_of(software_tpm).sign(key, bytes(32), "ecdsa", "sha256")


def test_a_device_that_is_none_is_told() -> None:
    with pytest.raises(KeyTrouble, match="/dev/null"):
        Tpm("device:/dev/null").make_key("p256")
