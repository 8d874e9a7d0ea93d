"""Where private keys live: one interface, :class:`~troth.pki.keys.model.Custodian`, whoever the custodian is.

``model`` says what a key is and what it may do; ``algorithm`` how each kind signs. ``software`` keeps keys encrypted
in files. Keys elsewhere have one custodian, ``held``, over a ``backend``: ``pkcs11_token`` (with ``pkcs11_library``,
``lane`` and ``pins``), ``aws``, ``gcp`` or ``azure``; ``records`` keeps what is known of them, ``pause`` how long a
custodian in trouble is left alone. ``keyring`` is all custodians as one, made by ``custodians`` from the settings.
``files`` writes and reads what nobody else may see. Only the signer process opens a keyring.
"""
