"""Ending and moving sessions while they go on: Disconnect and CoA (RFC 5176, RFC 8559).

``ports`` takes what changes of standing ask for (the outbox's *disconnect* and *reauthorize*), ``follower`` what the
ledger tells besides (certificates on hold or revoked, owners, policies, networks), ``waves`` has many judged anew at a
pace, and people order by hand. All of them plan *orders* (:mod:`troth.radius.sessions.orders`), each once for what
causes it. ``sender`` does them: one in the whole installation, by lease, so that a device is spoken to by one at a time
and an access server by few at once. ``steps`` says which rungs of a vendor's ladder an order climbs, ``udp`` is how a
packet gets there and back. RadSec brings a :class:`~troth.radius.dynamic.model.Transport` of its own.
"""
