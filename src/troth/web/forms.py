"""Fields out of a posted form: text only, bounded, trimmed of nothing that matters."""

from __future__ import annotations

from troth.web.errors import MALFORMED, WebError
from troth.web.render import Req

_LONGEST = 4096


async def fields(request: Req, *names: str) -> list[str]:
    """The text of each named field, ``""`` where it is missing. Raises WebError for files and overlong fields."""
    form = await request.form()
    found = []
    for name in names:
        value = form.get(name, "")
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise WebError(MALFORMED, f"the field {name} is not a short text")
        found.append(value)
    return found
