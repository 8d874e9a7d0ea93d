"""Letting in: the judge at the moment *connect*, from memory, and the journal of what it decided."""
