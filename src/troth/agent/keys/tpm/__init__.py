"""Keys in the machine's TPM 2.0.

``device`` speaks with the TPM and is the only module that knows tpm2-pytss (extra ``tpm``); ``keys`` is the place for
keys, ``signing`` gives them the shape of the library's keys, and ``enrol`` has an attestation key certified, so that
the TPM can say to a certificate authority which keys live in it.

Nothing is left in the TPM: a key is wrapped by its storage root key, which the TPM derives anew from its seed, and lies
in a file that is worth nothing on another machine. Clearing the TPM (a new owner) makes every such file worthless.
"""
