"""Custodians, and the token that one of them has."""

from __future__ import annotations

from tests.support.custodians import bench
from tests.support.tokens import soft_token

__all__ = ["bench", "soft_token"]
