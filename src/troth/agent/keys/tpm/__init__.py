"""Keys in the machine's TPM 2.0.

``device`` does what a key needs, in ``commands`` that go through one of the ``doors`` (Linux' device, Windows' ``tbs``,
a software TPM's port); ``templates`` says what keys are made from, ``keyfile`` how they lie in files, ``errors`` what
the TPM refuses. ``keys`` is the place for keys, ``signing`` gives them the shape of the library's keys, and ``enrol``
has an attestation key certified, so that the TPM can say to a certificate authority which keys live in it.

Nothing is left in the TPM: a key is wrapped by its storage root key, which the TPM derives anew from its seed, and lies
in a file that is worth nothing on another machine. Clearing the TPM (a new owner) makes every such file worthless.
"""
