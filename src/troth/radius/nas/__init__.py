"""Who may ask: the access servers, their secrets, and what was seen of them.

Find your way: ``definition`` (``nas:`` as people write it) → ``desk`` (applying, secrets, retiring; ``store`` has
the SQL) → ``model`` (an access server and the table by address, with opened secrets) → ``loading`` (how a process holds
that table and keeps it) → ``sightings`` (which of them do not sign, which secret they used: counted in memory, written
down now and then).

A packet proves itself by a shared secret, so the address that it comes from decides only *which* secrets are tried. Two
are good while one replaces the other; the reply uses the one that the request did.
"""
