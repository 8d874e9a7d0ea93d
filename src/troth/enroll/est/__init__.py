"""EST, enrolment over secure transport (RFC 7030, corrected by RFC 8951; attributes as RFC 9908 clarifies them).

Certificates for what speaks no ACME: network gear, printers, controllers, and hosts that bring a credential in place
of a proof. How to find your way:

* ``routes``: the paths below ``/.well-known/est``, and how answers are worded; ``body``: base64, certs-only, multipart;
* ``callers``: who asks, by an enrolment's secret, a certificate of ours or one of somebody else's;
* ``request``: what a PKCS#10 request says beyond its key: subject, names, the link to the TLS connection;
* ``desk``: from a believed caller and a proved key to a certificate, by the one path that all doors take;
* ``authorities`` and ``attributes``: what everybody may be told; ``keygen``: keys that the server makes;
* ``store`` and ``prune``: what is remembered of requests, ``tally``: what is counted.
"""
