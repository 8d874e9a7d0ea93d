"""What certificates exist where, seen by whom and when: the reports of agents.

A report is signed with the key of the agent's own certificate and judged for what it is: the word of the host itself.
Certificates that it shows are recorded with their places; whom they belong to is not known by that. What it says of its
own posture goes into ``trust`` as facts of the source ``agent``, which can only ever raise (``trust.facts``).
"""
