"""What a change of standing sets going outside: an outbox of effects, done at least once through ports.

Reading order: ``model`` (effects, ports, what a port answers), ``reactions`` (the document that says what leads to
what), ``plan`` (the pure function from a change to effects), ``planner`` (its place in the transaction that changes the
standing), ``decisions`` and ``alarms`` (people told without one), ``runner`` (who does them: order, retries, dead
letters), ``breaker`` (targets that fail), ``desk`` (people).
The ports themselves are implemented in ``connect``.
"""
