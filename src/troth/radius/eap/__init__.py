"""EAP and EAP-TLS: a device proves that it holds a certificate's key (RFC 3748, 5216, 9190; framing in RFC 3579).

Synchronous, in memory, without sockets or tasks. Find your way in this order: ``frames`` (the octets of EAP and of
EAP-TLS) → ``reassembly`` (TLS messages longer than a frame, both ways) → ``state`` (the RADIUS attribute State: whose
conversation this is, and that we said so) → ``openssl`` (the one place that touches what pyOpenSSL does not publish) →
``identity`` and ``contexts`` (our certificate; one TLS context for each network, one ticket key for all) → ``tls`` (one
handshake) → ``conversation`` (one device's conversation, from Start to the end) → ``conversations`` (all of them, and
which is dropped when there are too many) → ``server`` (what the packet room calls).

What holds throughout:

- Nothing is kept for a device before its first TLS octet: the Start is answered by a State that carries a MAC.
- Success is said, and TLS 1.3's protected success sent (RFC 9190, 2.1.1), only after
  :meth:`~.server.EapServer.conclude` has been told the verdict; a resumed session is told like any other, with the
  leaf that its ticket carries.
- A refused certificate is told by TLS first: the fatal alert goes out, its empty answer comes in, then EAP-Failure.
"""
