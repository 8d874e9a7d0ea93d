"""Fields out of a posted form: text and files, bounded, trimmed of nothing that matters."""

from __future__ import annotations

from litestar.datastructures import UploadFile

from troth.web.errors import MALFORMED, WebError
from troth.web.render import Req

_LONGEST = 4096
_LARGEST = 1024 * 1024


async def fields(request: Req, *names: str, longest: int = _LONGEST) -> list[str]:
    """The text of each named field, ``""`` where it is missing. Raises WebError for files and overlong fields."""
    form = await request.form()
    found = []
    for name in names:
        value = form.get(name, "")
        if not isinstance(value, str) or len(value) > longest:
            raise WebError(MALFORMED, f"the field {name} is not a short text")
        found.append(value)
    return found


async def chosen(request: Req, name: str) -> list[str]:
    """What is ticked under ``name``. Raises WebError for files and overlong values."""
    found = (await request.form()).getall(name, [])
    if len(found) > 50 or not all(isinstance(value, str) and len(value) <= _LONGEST for value in found):
        raise WebError(MALFORMED, f"the field {name} is not a choice")
    return found


async def uploads(request: Req, *names: str) -> list[bytes]:
    """The content of each named file, ``b""`` where none was chosen. Raises WebError for texts and large files."""
    form = await request.form()
    found = []
    for name in names:
        value = form.get(name, "")
        if value == "":
            found.append(b"")
            continue
        if not isinstance(value, UploadFile):
            raise WebError(MALFORMED, f"the field {name} is not a file")
        content = await value.read(_LARGEST + 1)
        await value.close()
        if len(content) > _LARGEST:
            raise WebError(MALFORMED, f"the file {name} is larger than 1 MiB")
        found.append(content)
    return found
