"""Authorities and templates for the mint's unit tests, made in memory."""

from __future__ import annotations

import pytest

from tests.unit.pki.forge import Forge


@pytest.fixture(scope="session")
def forge() -> Forge:
    return Forge.make()
