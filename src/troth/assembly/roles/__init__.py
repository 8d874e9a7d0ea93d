"""The roles: one module each, whose ``run(context)`` serves until ``context.stop`` is set.

A role opens what it needs, wires the rooms by plain constructor calls, calls ``context.ready()``, and closes what it
opened. What is common to all processes (signals, logging, the supervisor's pipes) is in ``assembly/serve.py``.
"""
