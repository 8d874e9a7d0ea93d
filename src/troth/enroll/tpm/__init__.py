"""The attestation CA: it certifies attestation keys of TPMs that are known here (TCG, Trusted Platform Module 2.0).

A TPM proves with its attestation key (AK) that another key lives in it. That proof is worth what the AK's certificate
is worth, and this room makes such certificates: the endorsement key (EK) says which TPM it is, the creation attestation
says what kind of key the AK is, and a secret that only this TPM can open, and only for this AK, joins the two.

How to find your way: ``structures`` reads the TPM's own encodings, over ``numbers`` and ``wire``; ``endorsement`` and
``attestation_key`` judge the two keys, ``signature`` verifies and ``credential`` encrypts the secret. All these are
pure. ``desk`` walks the two steps, ``registry`` keeps which TPM belongs to which device, ``routes`` is the door.
"""
