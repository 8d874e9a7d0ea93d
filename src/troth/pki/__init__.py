"""The mint: profiles, templates, lint, the gate that signs, revocation, CRLs and OCSP bytes.

Nothing here knows of people, devices or protocols. Find your way in this order: ``profile`` (what a certificate may
look like) → ``template`` (the same, compiled to DER once) → ``lint`` (assertions on the bytes about to be signed, and
the single-use token that lets them be signed) → ``gate`` (the one door through which certificates come into being)
→ ``revocation`` → ``crl`` and ``ocsp`` (how their status is told). SQL is in the ``*store.py`` files only.
"""
