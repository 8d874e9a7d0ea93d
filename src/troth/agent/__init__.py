"""The host agent: gets certificates for a machine and what runs on it, and keeps them. On ``kit`` and ``client`` only.

``config`` reads one TOML file. ``keys`` holds private keys: in files, tokens, TPMs. ``source`` is where certificates
come from, ``acme`` the one there is; ``solvers`` answer its challenges. ``keeper`` takes one certificate from key to
served: obtain, hold against what was asked (``fit``), install (``generations``), reload (``hook``), prove (``prove``);
each step is written down (``state``) before the next, so that a kill between any two loses nothing. ``schedule`` says
when to renew, ``staples`` keeps OCSP answers for servers, ``services`` run beside. ``supervisor`` runs them all.
"""
