"""Backup and recovery: what is kept elsewhere, and how the CA goes on from it when the machine is gone.

Two things are kept, and they complete each other. An *archive* (``archive``, ``create``, ``read``) is the whole
installation at one moment, sealed: database, wrapped keys, the secrets that unwrap them, configuration, notary.
*Shipped tiles* (``shipping``, ``target``) are everything since: the ledger's events, its tree, and beside each event
the rows that it changed. ``restore`` puts both together, proves the result, and closes the fence where something may
be missing; ``coverage`` says for every table how it comes back, or why it need not.

Trusted: the archive (age authenticates it) and checkpoints under the notary's key. Not trusted: the place where tiles
lie, since each leaf is held against the tree and each bundle is sealed. May be lost: tiles, at the price of a fence.
Must never roll back: the notary's state; a restore therefore brings it forward, or gives the log a new name.
"""
