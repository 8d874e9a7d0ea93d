"""Static files: read once at start, served from memory under a name that holds their hash, cached for good.

A file that is not in the table does not exist, so no path can climb out of the directory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str


class Assets:
    """All files of ``static/``. ``url`` gives a file's address, ``get`` the file of an address's last part."""

    def __init__(self) -> None:
        self._urls: dict[str, str] = {}
        self._files: dict[str, Asset] = {}
        self._walk(resources.files("troth.web").joinpath("static"), "")

    def _walk(self, directory: Traversable, prefix: str) -> None:
        for item in directory.iterdir():
            if item.is_dir():
                self._walk(item, f"{prefix}{item.name}/")
                continue
            stem, dot, ending = item.name.rpartition(".")
            media_type = _TYPES.get(dot + ending)
            if media_type is None:
                continue
            body = item.read_bytes()
            address = f"{prefix}{stem}.{hashlib.sha256(body).hexdigest()[:16]}.{ending}"
            self._urls[prefix + item.name] = f"/static/{address}"
            self._files[address] = Asset(body, media_type)

    def url(self, name: str) -> str:
        """The address of ``troth.css`` or ``vendor/htmx….js``. Raises KeyError for a file that is not there."""
        return self._urls[name]

    def get(self, address: str) -> Asset | None:
        """The file behind an address under ``/static/``."""
        return self._files.get(address)
