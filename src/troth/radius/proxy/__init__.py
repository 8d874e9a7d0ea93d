"""Handing conversations on to other RADIUS servers: by realm or by network, to pools with fail-over.

Find your way in this order: ``nai`` (whose user is it) → ``definition`` (pools as people write them) → ``health``
(which server of a pool is asked; no input or output) → ``border`` (what crosses, both ways) → ``upstream`` (one server,
over UDP or TLS) → ``pool`` (a request finds its server) → ``service`` (which requests are handed on, and their answers)
→ ``eduroam`` (what a federation asks for) → ``store`` and ``desk`` (pools and their secrets, kept and sealed).

A conversation is handed on from its first packet or not at all. A supplicant that answers our EAP-TLS offer with a Nak
cannot be moved then: the other server would have to answer an EAP conversation that it did not begin. Whose it is must
be told by the realm or the network.
"""
