"""Who is on the network now, and was before.

A session is told of twice: by the Accept that let it in, which knows the certificate, and by the access server's
accounting, which knows what became of it. Both are written into an inbox (``inbox``), durably, before anybody goes on:

* ``accounting`` reads an Accounting-Request (RFC 2866), ``desk`` answers it once its record is committed;
* ``folding`` (one worker, by lease) takes the inbox in batches and folds it into the table of sessions;
* ``fold`` is how, purely: whatever the order in which records come, and however often, the same table results;
* ``ageing`` ends what nobody has told the end of; ``orders`` is what is to be done to a session, which
  :mod:`troth.radius.dynamic` does.

Accounting goes to PostgreSQL and not into a file of the worker, as admissions do: what an access server was answered it
forgets, so an answer must outlive this node. Many requests share one commit. While the database is away nobody is
answered, and access servers send again, or elsewhere.
"""
