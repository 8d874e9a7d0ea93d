"""A TPM by Windows' TPM Base Services.

Functions, structures and codes as Microsoft documents them for ``tbs.h`` (Win32 API, TPM Base Services): a context of
version 2 for a TPM 2.0, commands by ``Tbsip_Submit_Command``. TBS virtualises handles as Linux' ``/dev/tpmrm0`` does,
lets go of what a context has loaded when it is closed, and keeps the passwords of the hierarchies: where Windows has
kept them at all, ``Tbsi_Get_OwnerAuth`` gives them to administrators and services.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, byref, c_uint32, c_void_p, create_string_buffer, sizeof
from typing import Protocol

from troth.agent.keys.tpm.commands import ENDORSEMENT, OWNER
from troth.agent.keys.tpm.doors import MAX_ANSWER
from troth.agent.keys.tpm.errors import Unreachable

#: TBS_CONTEXT_VERSION_TWO, and the bit ``includeTpm20`` of TBS_CONTEXT_PARAMS2.
_VERSION, _INCLUDE_TPM20 = 2, 1 << 2
#: TBS_COMMAND_LOCALITY_ZERO, TBS_COMMAND_PRIORITY_NORMAL.
_LOCALITY, _PRIORITY = 0, 200
#: TBS_OWNERAUTH_TYPE_ENDORSEMENT_20, TBS_OWNERAUTH_TYPE_STORAGE_20.
_KEPT = {ENDORSEMENT: 12, OWNER: 13}
_PASSWORD_MOST = 256
#: TPM_VERSION_20 of TPM_DEVICE_INFO.
_TPM20 = 2

#: TBS_E_…, as tbs.h and winerror.h have them.
_CODES = {
    0x80284001: "an internal error of TBS",
    0x80284002: "a parameter that TBS does not take",
    0x80284004: "TBS has closed the context",
    0x80284005: "the answer is longer than the buffer",
    0x80284006: "TBS cannot speak with the TPM",
    0x80284008: "the service TBS does not run",
    0x80284009: "too many programs speak with the TPM",
    0x8028400A: "TBS has no room for another object",
    0x8028400B: "the service TBS is starting",
    0x8028400D: "the command was cancelled",
    0x8028400E: "the command is too long for the TPM",
    0x8028400F: "this machine has no TPM 2.0 that Windows knows",
    0x80284010: "the service TBS is disabled",
    0x80284012: "this user may not speak with the TPM",
    0x80284015: "Windows has not kept the password",
    0x80284016: "Windows has not finished to set the TPM up",
    0x80280400: "Windows does not let this user send the command",
}  # fmt: skip


class _ContextParams2(ctypes.Structure):
    _fields_ = (("version", c_uint32), ("flags", c_uint32))


class _DeviceInfo(ctypes.Structure):
    _fields_ = tuple((name, c_uint32) for name in ("version", "tpm_version", "interface", "revision"))


class TbsLibrary(Protocol):
    """``tbs.dll``, loaded: its functions by their names."""

    def __getattr__(self, name: str) -> ctypes._NamedFuncPointer: ...


def library() -> TbsLibrary:
    """Windows' own, from its system directory and nowhere else. Raises Unreachable."""
    if sys.platform == "win32":
        try:
            return ctypes.WinDLL("tbs.dll", winmode=0x800)  # LOAD_LIBRARY_SEARCH_SYSTEM32
        except OSError as error:
            raise Unreachable(f"tbs.dll: {error}") from error
    else:
        raise Unreachable("tbs is the way to a TPM on Windows; here it is device:/dev/tpmrm0")


class TbsDoor:
    """See :class:`~troth.agent.keys.tpm.doors.Door`."""

    def __init__(self, tbs: TbsLibrary) -> None:
        self._submit = _function(
            tbs, "Tbsip_Submit_Command",
            c_void_p, c_uint32, c_uint32, c_void_p, c_uint32, c_void_p, POINTER(c_uint32),
        )  # fmt: skip
        self._close = _function(tbs, "Tbsip_Context_Close", c_void_p)
        self._password = _function(tbs, "Tbsi_Get_OwnerAuth", c_void_p, c_uint32, c_void_p, POINTER(c_uint32))
        create = _function(tbs, "Tbsi_Context_Create", POINTER(_ContextParams2), POINTER(c_void_p))
        device_info = _function(tbs, "Tbsi_GetDeviceInfo", c_uint32, c_void_p)
        info = _DeviceInfo()
        _held(device_info(sizeof(info), byref(info)))
        if info.tpm_version != _TPM20:
            raise Unreachable("TBS: the TPM is none of version 2.0")
        self._context = c_void_p()
        _held(create(byref(_ContextParams2(_VERSION, _INCLUDE_TPM20)), byref(self._context)))

    def exchange(self, command: bytes) -> bytes:
        answer, size = create_string_buffer(MAX_ANSWER), c_uint32(MAX_ANSWER)
        _held(self._submit(self._context, _LOCALITY, _PRIORITY, command, len(command), answer, byref(size)))
        return answer.raw[: size.value]

    def authorization(self, hierarchy: int) -> bytes:
        """What Windows has kept; where it has kept none, or not for this user, the empty password is tried."""
        password, size = create_string_buffer(_PASSWORD_MOST), c_uint32(_PASSWORD_MOST)
        if hierarchy not in _KEPT or self._password(self._context, _KEPT[hierarchy], password, byref(size)):
            return b""
        return password.raw[: size.value]

    def close(self) -> None:
        self._close(self._context)


def _function(tbs: TbsLibrary, name: str, *arguments: object) -> ctypes._NamedFuncPointer:
    try:
        found = getattr(tbs, name)
    except AttributeError as error:
        raise Unreachable(f"tbs.dll has no {name}: Windows 8 and newer have it") from error
    found.argtypes, found.restype = arguments, c_uint32  # TBS_RESULT
    return found  # type: ignore[no-any-return]


def _held(result: int) -> None:
    """Raise Unreachable with what ``result`` says, unless it is TBS_SUCCESS."""
    if result:
        told = _CODES.get(result, "an error that is not known here")
        raise Unreachable(f"TBS: {told} ({result:#010x})")
