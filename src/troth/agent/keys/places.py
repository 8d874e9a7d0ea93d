"""Every place for keys that the configuration names, each opened once."""

from __future__ import annotations

from pathlib import Path

from troth.agent.keys.files import FileKeys
from troth.agent.keys.model import HeldKey, KeyPlace, KeyType
from troth.agent.keys.pkcs11 import Pkcs11Keys
from troth.agent.keys.tpm.device import Tpm
from troth.agent.keys.tpm.keys import TpmKeys
from troth.agent.settings import FileKeySettings, KeySettings, Pkcs11KeySettings, TpmKeySettings
from troth.agent.state import StateDirectory


class TpmPlace:
    """The host's TPM, connected when it is first needed: a host without one still keeps its other certificates."""

    def __init__(self, directory: Path, tcti: str) -> None:
        self._directory = directory
        self._tcti = tcti
        self._keys: TpmKeys | None = None

    def keys(self) -> TpmKeys:
        """The place itself."""
        if self._keys is None:
            self._keys = TpmKeys(self._directory, Tpm(self._tcti))
        return self._keys

    def create(self, label: str, type: KeyType) -> HeldKey:
        return self.keys().create(label, type)

    def load(self, label: str) -> HeldKey:
        return self.keys().load(label)

    def remove(self, label: str) -> None:
        self.keys().remove(label)


class Places:
    """Places for keys, made when the first certificate needs them."""

    def __init__(self, state: StateDirectory) -> None:
        self._root = state.root
        self._made: dict[tuple[str, ...], KeyPlace] = {}

    def of(self, settings: KeySettings) -> KeyPlace:
        """The place that ``settings`` name."""
        match settings:
            case FileKeySettings():
                return self._made.setdefault(("file",), FileKeys(self._root / "keys"))
            case Pkcs11KeySettings(library=library, token=token, pin_file=pin_file):
                return self._made.setdefault(("pkcs11", library, token, pin_file), Pkcs11Keys(library, token, pin_file))
            case TpmKeySettings(tcti=tcti):
                return self._made.setdefault(("tpm", tcti), TpmPlace(self._root / "tpm", tcti))
