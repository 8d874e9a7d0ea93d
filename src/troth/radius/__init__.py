"""The door at which a network is joined: RADIUS, EAP-TLS, accounting, and what ends or moves a session.

Find your way in this order: ``wire`` (packets and attributes, nothing else) → ``nas`` (who may ask, and their
secrets) → ``eap`` (EAP-TLS, one conversation at a time) → ``admission`` (whom a network lets in: the trust table, the
chain, the judge at the moment *connect*) → ``places`` (what an outcome means to a vendor's equipment) → ``sessions``
(accounting, who is on the network now) → ``dynamic`` (Disconnect and CoA) → ``radsec`` and ``proxy`` (the other ways
in, and on) → ``server`` (sockets, workers, what is answered to which packet). ``supplicants`` writes the other end: the
configurations of the devices that join.

Nothing here decides who is trusted: ``trust`` does. No handshake waits for a database or a network.
"""
