"""How a process holds the access servers: all of them in memory, with opened secrets, replaced as a whole.

    book = NasBook(database, box)
    await book.refresh()
    ...
    if any(book.concerns(event.kind) for event in batch.events):
        await book.refresh()

``book.table`` is what packets are looked up in; take it anew for each packet. A refresh that fails leaves the table as
it was. Trusted: the key file beside the database; the database without it has no secret.
"""

from __future__ import annotations

from uuid import UUID

from troth.kit.sealing import SecretBox
from troth.radius.nas import store
from troth.radius.nas.model import NasTable
from troth.radius.nas.sealing import opened
from troth.store.unit import Reader


class NasBook:
    """The table of access servers of one process.

    Args:
        box: opens their secrets (``SecretBox.at(layout.secrets / "nas.secret", purpose="nas")``).
    """

    def __init__(self, reader: Reader, box: SecretBox) -> None:
        self._reader = reader
        self._box = box
        self._versions: dict[UUID, int] = {}
        self.table = NasTable()

    @staticmethod
    def concerns(kind: str) -> bool:
        """Whether an event of that kind may change the table."""
        return kind.startswith("nas.")

    async def refresh(self) -> bool:
        """Read them; whether anything has changed. Raises StoreError, and the table stays as it was."""
        # Definitions first: a secret that is set in between is read, and its version makes the next refresh read again.
        listed = await store.all_nas(self._reader)
        versions = {one.id: one.version for one in listed}
        if versions == self._versions:
            return False
        sealed = await store.sealed_secrets(self._reader)
        entries = [
            found
            for one in listed
            if one.retired_at is None and (found := opened(self._box, one, sealed.get(one.name, {}))) is not None
        ]
        self.table = NasTable(entries, version=self.table.version + 1)
        self._versions = versions
        return True
