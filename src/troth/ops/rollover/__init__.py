"""From one issuing authority to the next, without anybody being cut off.

    trust ──► coverage ──► issue ──► drain ──► retired
      └──────────┴───────────┴─────────┴──► backed-out

*trust*: the new authority is known and published, so that everybody can come to trust it. *coverage*: it is measured
who does. *issue*: the new one issues, the old one has stopped. *drain*: certificates of the old one are renewed, early.
*retired*: the old one never issues again; it answers for what it has issued until that has expired.

Each stage has a gate: conditions with what is needed and what is seen. A person who knows better may pass one with a
reason, which is in the ledger. Until *retired* everything can be taken back. ``model``: records and conditions;
``service``: reads the situation and builds each step as one write unit; ``store``: its SQL.
"""
