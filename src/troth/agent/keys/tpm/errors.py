"""What a TPM refuses, by its response code (TPM 2.0 Library, Part 2, 6.6), and a TPM that is not reached.

These stay in this room: :class:`~troth.agent.keys.tpm.device.Tpm` makes KeyTrouble of them.
"""

from __future__ import annotations


class Unreachable(Exception):
    """No answer came, or none that is one."""


class TpmError(Exception):
    """The TPM refused a command. ``code``: the response code; ``base``: without handle or parameter number."""

    def __init__(self, command: str, code: int) -> None:
        self.code = code
        self.base = base_of(code)
        super().__init__(f"TPM2_{command} was refused: {tell(code)}")


class HandleUnknown(TpmError):
    """Nothing is at this handle or NV index."""


class NotAuthorized(TpmError):
    """The password or policy is wrong, or this user may not send the command."""


class LockedOut(NotAuthorized):
    """The TPM takes no password for now, since there were too many wrong ones."""


class NotOurs(TpmError):
    """This TPM has not wrapped the key, or its seed was changed since: it was cleared or exchanged."""


#: TPM_RC_YIELDED, TESTING, RETRY, NV_RATE: nothing was done, and the same command may be sent again (6.6.3).
AGAIN = frozenset({0x908, 0x90A, 0x922, 0x920})

_KINDS: dict[int, type[TpmError]] = {
    0x08B: HandleUnknown,  # TPM_RC_HANDLE
    0x08E: NotAuthorized,  # TPM_RC_AUTH_FAIL
    0x0A2: NotAuthorized,  # TPM_RC_BAD_AUTH
    0x09D: NotAuthorized,  # TPM_RC_POLICY_FAIL
    0x125: NotAuthorized,  # TPM_RC_AUTH_MISSING
    0x12F: NotAuthorized,  # TPM_RC_AUTH_UNAVAILABLE
    0x09F: NotOurs,  # TPM_RC_INTEGRITY
    0x910: HandleUnknown,  # TPM_RC_REFERENCE_H0
    0x921: LockedOut,  # TPM_RC_LOCKOUT
}
#: TPM_E_COMMAND_BLOCKED: Windows does not let this user send the command (winerror.h).
BLOCKED = 0x80280400

_NAMES = {
    0x081: "asymmetric algorithm not supported", 0x084: "value out of range", 0x08B: "the handle is not correct",
    0x08E: "the authorization failed", 0x092: "the scheme is not supported", 0x095: "wrong size of a structure",
    0x09C: "the key is not the right kind", 0x09D: "a policy check failed", 0x09F: "the integrity check failed",
    0x0A2: "the authorization failed", 0x100: "the TPM was not started", 0x101: "the TPM is in failure mode",
    0x120: "the command is disabled", 0x125: "an authorization is missing", 0x143: "the TPM knows no such command",
    0x902: "no room for another object", 0x903: "no room for another session", 0x908: "it asks to be asked again",
    0x90A: "it is testing itself", 0x910: "nothing is loaded at the handle",
    0x920: "its NV memory is protected from wear", 0x921: "it is locked out after wrong passwords",
    0x922: "it asks to be asked again",
    BLOCKED: "Windows does not let this user send the command",
}  # fmt: skip


def refused(command: str, code: int) -> TpmError:
    """The error that says what ``code`` means."""
    if code == BLOCKED:
        return NotAuthorized(command, code)
    return _KINDS.get(base_of(code), TpmError)(command, code)


def base_of(code: int) -> int:
    """A code without the layer above the TPM (Windows and Linux put theirs into the upper half), and a format-one code
    without the number of the handle, session or parameter that it speaks of (6.6.2)."""
    if code == BLOCKED:
        return code
    low = code & 0xFFF
    return low & 0xBF if low & 0x80 else low


def tell(code: int) -> str:
    """A code in words, where there are some, and as a number."""
    name = _NAMES.get(base_of(code))
    return f"{name} ({code:#x})" if name else f"response code {code:#x}"
