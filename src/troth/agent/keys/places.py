"""Every place for keys that the configuration names, each opened once."""

from __future__ import annotations

from troth.agent.keys.files import FileKeys
from troth.agent.keys.model import KeyPlace
from troth.agent.keys.pkcs11 import Pkcs11Keys
from troth.agent.settings import FileKeySettings, KeySettings, Pkcs11KeySettings
from troth.agent.state import StateDirectory


class Places:
    """Places for keys, made when the first certificate needs them."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state
        self._made: dict[object, KeyPlace] = {}

    def of(self, settings: KeySettings) -> KeyPlace:
        """The place that ``settings`` name."""
        match settings:
            case FileKeySettings():
                return self._made.setdefault("file", FileKeys(self._state.root / "keys"))
            case Pkcs11KeySettings(library=library, token=token, pin_file=pin_file):
                place = (library, token, pin_file)
                if place not in self._made:
                    self._made[place] = Pkcs11Keys(library, token, pin_file)
                return self._made[place]
