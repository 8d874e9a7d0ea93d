"""Fixtures of the ACME door's tests."""

from tests.support.acme_door import applicant_servers, door, logged

__all__ = ["applicant_servers", "door", "logged"]
