"""A PKCS#11 library, loaded once per process, and one login to a token in it.

What real tokens taught: login is per application and token, so a second one raises UserAlreadyLoggedIn and later
sessions open without a PIN; a token that was pulled and put back is seen again only after C_Finalize and C_Initialize;
until then a library may still open sessions on it and find no objects there. And a wrong PIN tried three times locks
a token for good, so one that was refused is never tried again by itself.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from troth.kit.log import get_logger
from troth.pki.keys.errors import (
    CUSTODIAN_EXTRA,
    CUSTODIAN_SETTINGS,
    CUSTODIAN_UNAVAILABLE,
    PIN_REFUSED,
    CustodianDown,
)
from troth.pki.keys.lane import Lane
from troth.pki.keys.pins import PinSource

if TYPE_CHECKING:
    from pkcs11 import Session

log = get_logger("pki")

_libraries: dict[str, Library] = {}
_libraries_lock = threading.Lock()


def api() -> ModuleType:
    """python-pkcs11, imported when a custodian first needs it. Raises CustodianDown."""
    try:
        import pkcs11
    except ImportError as error:
        raise CustodianDown(CUSTODIAN_EXTRA, "pip install 'troth[hsm]'") from error
    return pkcs11


class Library:
    """One library and its lane. Its methods run on the lane alone."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lane = Lane(f"pkcs11 {Path(path).name}")
        self._loaded: Any = None

    @classmethod
    def at(cls, path: str) -> Library:
        """The library at ``path``; the same one for every token in it."""
        real = str(Path(path).resolve())
        with _libraries_lock:
            if real not in _libraries:
                _libraries[real] = cls(real)
            return _libraries[real]

    def loaded(self) -> Any:
        """The library, initialised. Raises CustodianDown."""
        if self._loaded is None:
            pkcs11 = api()
            if not Path(self.path).is_file():
                raise CustodianDown(CUSTODIAN_SETTINGS, f"there is no PKCS#11 library {self.path}")
            try:
                self._loaded = pkcs11.lib(self.path)
            except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
                raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"{self.path} does not start: {name_of(error)}") from error
        return self._loaded

    def restart(self) -> None:
        """C_Finalize and C_Initialize: tokens that came back are seen. Every session of this library ends.

        Raises CustodianDown.
        """
        library, pkcs11 = self.loaded(), api()
        try:
            library.reinitialize()
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, f"{self.path} does not start: {name_of(error)}") from error


class Login:
    """A session on one token, opened when it is needed and opened again when it was lost. For the lane alone."""

    def __init__(self, library: Library, token_label: str, pin: PinSource) -> None:
        self._library = library
        self._label = token_label
        self._pin = pin
        self._session: Session | None = None
        self._refused: bytes | None = None
        #: Whether the session was opened right after a restart of the library: what it does not find is not there.
        self.fresh = False

    def session(self) -> Session:
        """The session for signing. Raises CustodianDown."""
        if self._session is None:
            try:
                self._session, self.fresh = self._open(), False
            except CustodianDown as trouble:
                if trouble.reason is not CUSTODIAN_UNAVAILABLE:
                    raise
                self.restart()
        assert self._session is not None  # noqa: S101 - restart() opens it or raises
        return self._session

    def restart(self) -> None:
        """Open the session anew after a restart of the library. Raises CustodianDown."""
        self._session = None
        self._library.restart()
        self._session, self.fresh = self._open(), True

    def writing(self) -> Session:
        """A second session, for making a key; the caller closes it. Raises CustodianDown."""
        self.session()
        return self._attempt(lambda token: token.open(rw=True))

    def drop(self) -> None:
        """Forget the session: it is lost, or nobody needs it."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception as error:  # noqa: BLE001 - the session is given up, whatever its end says
                log.debug("token.session_close", error=name_of(error))

    def about(self) -> tuple[tuple[str, str], ...]:
        """What the token says of itself."""
        token = self._token()
        parts = (
            ("token", self._label),
            ("token manufacturer", token.manufacturer_id),
            ("token model", token.model),
            ("token serial", token.serial),
            ("token firmware", ".".join(str(part) for part in token.firmware_version)),
        )
        return tuple((name, _text(value)) for name, value in parts)

    def _token(self) -> Any:
        pkcs11 = api()
        try:
            return self._library.loaded().get_token(token_label=self._label)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            detail = f"no token {self._label!r} in {self._library.path}: {name_of(error)}"
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, detail) from error

    def _open(self) -> Session:
        pin = self._pin.read()
        digest = hashlib.sha256(pin).digest()
        if digest == self._refused:
            raise CustodianDown(PIN_REFUSED)
        pkcs11 = api()

        def log_in(token: Any) -> Session:
            try:
                return token.open(user_pin=pin.decode())  # type: ignore[no-any-return]
            except pkcs11.UserAlreadyLoggedIn:
                return token.open()  # type: ignore[no-any-return]

        refusals = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired)
        try:
            return self._attempt(log_in)
        except (*refusals, UnicodeDecodeError) as error:
            self._refused = digest
            self._pin.seal()
            raise CustodianDown(PIN_REFUSED, f"token {self._label!r}: {name_of(error)}") from None

    def _attempt(self, act: Any) -> Session:
        pkcs11 = api()
        token = self._token()
        try:
            return act(token)  # type: ignore[no-any-return]
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired):
            raise
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            detail = f"token {self._label!r} gives no session: {name_of(error)}"
            raise CustodianDown(CUSTODIAN_UNAVAILABLE, detail) from error


def name_of(error: BaseException) -> str:
    """An error of the library in words: its class says most, its text is often empty."""
    return f"{type(error).__name__}{f' ({error})' if str(error) else ''}"


def _text(value: object) -> str:
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip()
