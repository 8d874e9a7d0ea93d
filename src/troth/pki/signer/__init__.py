"""The signer process: it holds the keys, reads again what it signs, and keeps each key to its limits.

What is trusted: its key files, its own memory, the role secrets. What is not: everyone who connects. A process with a
role's secret gets what that role may have within the limits of each key, and nothing else; so a web process that was
taken over can have leaves signed under its authority until it is shut out, but never a CA, a responder of its own, a
certificate that outlives the authority, or a ledger that forgets.

Way through: ``protocol`` (messages, frames) and ``handshake``; ``roles`` (who may ask for what); ``server`` (sockets,
batches) hands each request to ``desk`` (what is done for it), which holds certificates against ``certificate_rules``
and CRLs against ``crl_rules``; ``memory`` remembers what was presented; ``sealing`` wraps a released OCSP key;
``notary`` signs the ledger's checkpoints. ``client`` is the other end, for every other process.
"""
