"""What a YAML document is, by its keys."""

from __future__ import annotations

import pytest

from troth.web.books.trusting import documents_in
from troth.web.errors import WebError


def test_lists_that_stand_in_one_document_are_told_to_be_parted() -> None:
    with pytest.raises(WebError, match="feeds: and connectors: are documents of their own: put a line ---"):
        documents_in("feeds: []\nconnectors: []\n")
    parts = documents_in("feeds: []\n---\nconnectors: []\n")
    assert [kind for kind, _ in parts] == ["feeds", "connectors"]
