"""RADIUS packets and attributes, and nothing else: no sockets, no clock, no secrets kept.

Find your way: ``packet`` (octets to a :class:`~troth.radius.wire.packet.Packet`, bounded before anything is parsed) →
``signing`` (Message-Authenticator and authenticators, verified and made) → ``hiding`` (passwords and keys under the
shared secret) → ``dictionary`` (names, data types and vendors, from ``data/*.yaml``) → ``values`` (the data types of
RFC 8044) → ``reading`` (what a person may see of a packet) → ``addresses`` (MAC addresses in every vendor's spelling) →
``duplicates`` (RFC 5080 section 2.2.2).

All that comes in is hostile until :mod:`~troth.radius.wire.signing` says otherwise. All comparisons with a secret in
them take constant time.
"""
