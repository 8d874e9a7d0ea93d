"""Whom a network lets in: decided from memory, at every connection, a resumed one like any other.

Find your way in this order: ``model`` (a network, an attempt, a verdict) → ``document`` and ``desk`` (networks as
people write them, and as they are applied) → ``records``, ``doubts`` and ``table`` (the trust table: what this process
holds of every certificate that could be admitted) → ``following`` (how it is filled and kept true) → ``chains`` and
``foreign`` (the path to an anchor of the network; others' certificates and their revocation) → ``service`` and
``outcome`` (the decision) → ``breaker`` (when too many would newly be refused for one reason) → ``conversations`` (what
happened, in plain words) → ``admissions`` (:class:`~troth.radius.admission.admissions.Admissions`: all of it together).

*What the server does*:

1. ``network = admissions.network(ssid=…, nas=…, port_type=…, identity=…)`` when a conversation begins (its TLS context
   depends on it), then EAP; with what TLS has proved, ``verdict = await admissions.admit(attempt)``. None means that
   nothing certain can be said in time: drop the packet, the access server asks again.
2. ``await admissions.record(attempt, verdict, timeline)``. JournalError from it means: no Accept.
3. Right before the Accept leaves, with nothing awaited in between: ``admissions.holds(attempt, verdict)``; if it does
   not hold any more, Reject. Between decision and Accept lie an fsync and a round trip to the station.

:meth:`Admissions.decide` is the decision without any wait: it raises
:class:`~troth.radius.admission.model.Unsettled` where ``admit`` would wait.

*What is trusted*: the trust stream, for as long as its lease runs. *What may be lost*: nothing that was answered. *What
must never be*: an outcome above a subject's standing once the change of that standing is effective.
"""
