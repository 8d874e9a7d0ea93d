"""Fakes of other people's systems, each built from its documented exchanges, that fail on request.

``server`` is what all of them stand on: HTTP on loopback, OAuth 2, and faults. ``harness`` has a connector at work
against one of them on a test's own database. A fake of a vendor is a class with a table of paths.
"""
