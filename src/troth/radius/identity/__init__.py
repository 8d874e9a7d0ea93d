"""The RADIUS server's own certificate: what devices are told to trust before they tell anything themselves.

The worker has it made and renewed (``issuing``): the key in the signer, with the purpose ``radius``, the certificate by
the authority of the class ``radius``, through the gate like any other. A RADIUS worker finds it (``source``), is given
the key, sealed, by the signer, and takes a newer one over without a restart. Or it all lies in files that people renew.
A staple (``stapling``) answers the question that TLS 1.3 has devices ask: is this server's certificate revoked?
"""
