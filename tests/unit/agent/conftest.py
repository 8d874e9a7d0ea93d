"""For all tests of the agent."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_disk_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here; a disk that others use makes each fsync cost tens of milliseconds."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
