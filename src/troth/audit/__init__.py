"""The ledger: every act of Troth as an event in an append-only Merkle log, written with the act itself.

``event`` is what rooms record; ``sequencer`` gives committed events their place; ``stream`` is how others follow;
``notary`` has checkpoints signed; ``verify`` proves the log from the outside. The tree is RFC 6962's (``merkle``).
"""
