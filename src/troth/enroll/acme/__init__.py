"""ACME (RFC 8555) with its errata, http-01, dns-01 and tls-alpn-01 (RFC 8737, RFC 8738).

How to find your way: ``jws`` opens a request and says who signed it, on ``jwk`` (which account keys are acceptable)
and ``nonce`` (anti-replay without a table). ``problems`` words every refusal; ``errors`` lists their reason codes.
``validate`` proves control of names. Nothing of these touches the database.
"""
