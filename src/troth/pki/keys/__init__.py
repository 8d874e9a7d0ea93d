"""Where private keys live: one interface, :class:`~troth.pki.keys.model.Custodian`, whoever the custodian is.

``model`` says what a key is and what it may do; ``algorithm`` how each kind signs; ``software`` keeps keys encrypted
in files; ``files`` writes and reads what nobody else may see. Only the signer process opens a custodian.
"""
