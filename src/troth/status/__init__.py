"""The door at which validity is told: OCSP, CRLs, and the certificates of the authorities themselves.

Find your way in this order: ``table`` (every certificate that is not good, held in memory and kept true by following
the trust stream) → ``lookups`` (what the table does not know is asked of the database, many serials in one query) →
``responders`` (the keys and certificates that sign OCSP answers) → ``service`` (one request, one answer) →
``routes`` (HTTP) → ``worker`` (the tasks that keep all of it fresh). ``published`` holds CRLs and CA certificates
ready to send; ``publisher`` runs elsewhere, in the worker role, and has new CRLs made when something changed.

The room signs nothing itself and decides nothing: it tells what the status rows say. When it cannot know (the stream
is cut, the database away) it says so, ``tryLater``, rather than a yes from memory.
"""
