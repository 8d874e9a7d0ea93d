"""OpenID Shared Signals Framework 1.0: what other systems tell us about users and devices, as signed events.

``secevent`` proves a security event token (RFC 8417), ``subjects`` reads whom it is about (RFC 9493), ``events`` knows
every type of CAEP 1.0, RISC 1.0 and SSF 1.0 with three vendors' dialects, ``mapping`` is the one table that turns
them into signals. ``receiver`` takes one token, whichever way it came: pushed (``routes``, RFC 8935) or polled
(``poller``, RFC 8936). ``remote`` speaks with a transmitter's stream management, ``streams`` keeps our streams,
``store`` their rows.

What a stream may bring about is the business of the feed it speaks for: grants, caps and freeze are the judge's.
"""
