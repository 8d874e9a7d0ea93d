"""A throw-away SoftHSM token for dry runs of ceremonies whose key will be in a real one.

A dry run thereby goes through the PKCS#11 code that the ceremony will go through: making the key, reading its
attributes back, signing. Where SoftHSM is not installed, a software key stands in, and the transcript says so.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from troth.pki.ceremony.custody import OpenKey, throw_away
from troth.pki.ceremony.errors import TOKEN_FAILED, CeremonyFailed
from troth.pki.ceremony.token import opened_key
from troth.pki.keys.algorithm import KeyAlgorithm
from troth.pki.keys.errors import CustodianDown
from troth.pki.keys.pins import FILE, PinSource
from troth.pki.keys.pkcs11_library import Library
from troth.pki.keys.pkcs11_token import Pkcs11Token

_SECONDS = 60.0
_VARIABLE = "SOFTHSM2_CONF"
_LIBRARIES = tuple(
    Path(place) / "libsofthsm2.so"
    for place in (
        "/usr/lib/softhsm",
        "/usr/lib/x86_64-linux-gnu/softhsm",
        "/usr/lib64/pkcs11",
        "/usr/local/lib/softhsm",
    )
)


def soft_key(algorithm: KeyAlgorithm) -> OpenKey:
    """A key in a token of its own, erased when the key is closed. Raises CeremonyFailed."""
    library = next((str(path) for path in _LIBRARIES if path.is_file()), None)
    program = shutil.which("softhsm2-util")
    if library is None or program is None:
        key = throw_away(algorithm)
        return replace(key, evidence=(("custody", "throw-away software key: SoftHSM is not installed"),))
    stage = _Stage(library, program)
    try:
        return stage.key(algorithm)
    except BaseException:
        stage.clear()
        raise


class _Stage:
    """A directory with one token, to which SoftHSM's configuration points while it is there."""

    def __init__(self, library: str, program: str) -> None:
        self._library = library
        self._program = program
        self._before = os.environ.get(_VARIABLE)
        self._directory = Path(tempfile.mkdtemp(prefix="troth-dry-run-"))
        self._token: Pkcs11Token | None = None

    def key(self, algorithm: KeyAlgorithm) -> OpenKey:
        """Set the stage and make a key."""
        label, pin = f"dry run {secrets.token_hex(4)}", self._directory / "pin"
        (self._directory / "tokens").mkdir()
        configuration = self._directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self._directory}/tokens\nlog.level = ERROR\n")
        pin.write_text(secrets.token_hex(8))
        pin.chmod(0o600)
        os.environ[_VARIABLE] = str(configuration)
        arguments = [self._program, "--init-token", "--free", "--label", label]
        # Arguments are seen by others: these PINs open a token that exists for seconds and holds nothing.
        arguments += ["--pin", pin.read_text(), "--so-pin", secrets.token_hex(8)]
        try:
            subprocess.run(arguments, check=True, capture_output=True, timeout=_SECONDS)  # noqa: S603 - our own words
        except (OSError, subprocess.SubprocessError) as error:
            raise CeremonyFailed(TOKEN_FAILED, f"SoftHSM makes no token: {error}") from error
        library = Library.at(self._library)
        library.lane.call(library.restart, _SECONDS)
        self._token = token = Pkcs11Token(self._library, label, PinSource(f"{FILE}{pin}"), timeout=_SECONDS)
        made = token.generate(f"dryrun-{uuid4()}", algorithm)
        evidence = (("custody", "throw-away SoftHSM token"), *made.evidence)
        return replace(opened_key(token, made.handle, made.public_key, evidence), close=self.clear)

    def clear(self) -> None:
        """Erase the token and let SoftHSM's configuration be what it was."""
        if self._token is not None:
            self._token.close()
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before
        shutil.rmtree(self._directory, ignore_errors=True)
        library = Library.at(self._library)
        try:
            library.lane.call(library.restart, _SECONDS)
        except CustodianDown:
            return  # there is no SoftHSM but the one that was here for the dry run
