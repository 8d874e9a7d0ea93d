"""The other side of the table: JOSE and ACME as a client speaks them, on ``kit`` only.

``jose`` (base64url, JWK, thumbprints, signatures) is shared with the servers; ``transport`` is a small HTTP/1.1
client on asyncio; ``acme`` is an ACME (RFC 8555) client on both; ``csr`` makes certificate requests. The connectors,
the agent, the demonstration, the benchmarks and the tests all obtain their certificates with this room.
"""
