"""Device attestation: does this key live in that device's hardware? (draft-ietf-acme-device-attest-09)

How to find your way: ``cbor`` and ``statement`` read what a device sent, ``anchors`` holds whom a format's chains must
lead to, ``chain`` looks for that path. One small verifier per format (``apple``, ``tpm``, ``android``, ``step``) holds
a statement against its rules; each rule is a :class:`~troth.enroll.attest.model.Check` with what was expected and what
was found, also after another has failed: the list is the explanation that a person gets. ``examine`` does all of it.

Nothing of these touches the database or the network. What a good statement proves is "a genuine device X"; that X is
*ours* is for the inventory and the policy to say.
"""
