"""Proof of control over a name: http-01 (RFC 8555, 8.3), dns-01 (8.4) and tls-alpn-01 (RFC 8737), for dns and ip.

``validator`` is the door: :class:`~.validator.Validator` takes a :class:`~.outcome.Challenge` and returns
:class:`~.outcome.Valid` or :class:`~.outcome.Invalid`, always within its budget, and raises nothing. One module per
method; ``resolver`` looks names up; ``network`` says to which addresses a connection may go, and ``dial`` connects
to exactly the address that was checked. It runs in the worker, on that process's event loop.
"""
