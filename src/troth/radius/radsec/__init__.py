"""RADIUS over TLS (RFC 6614, draft-ietf-radext-radiusdtls-bis; RADIUS/1.1: RFC 9765), as a server and as a client.

Find your way in this order: ``framing`` (a stream of octets becomes packets) → ``versions`` (1.0 or 1.1, by ALPN)
→ ``names`` and ``peers`` (which access server a certificate speaks for) → ``tls`` (trust base and contexts) →
``exchange`` (requests of ours on a connection, and their replies: the client's, and reverse CoA) → ``connection`` and
``server`` (an access server's connection, and all of them) → ``client`` (ours to another server) → ``orders`` (how a
Disconnect or CoA of the worker reaches the process that holds the connection).

What a packet is answered with is not decided here: every request goes to the desk that UDP has too.

Not there: DTLS and TLS-PSK (docs/radius.md says so), TLS resumption and early data (neither is ever granted).
"""
