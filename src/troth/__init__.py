"""Troth: a self-hosted Dynamic PKI. A certificate from Troth holds only while faith is kept.

The rooms are laid out in floors; a room imports only from floors below its own (``docs/architecture.md``).
"""

__version__ = "0.1.0"
