"""Tokens for the agent's keys."""

from __future__ import annotations

from tests.support.tokens import soft_token

__all__ = ["soft_token"]
