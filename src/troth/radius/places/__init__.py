"""What an outcome means to equipment: places, and how each vendor is told of one.

A place (``model``, the document ``places:``) is vendor-neutral: a VLAN, a role, an ACL by name or by its rules
(``rules``), times, a redirect. What a vendor understands stands in ``data/VENDOR.yaml`` with the page that says so;
``vendors`` reads and checks those files when they are first needed, ``lines`` is their one-line grammar. ``rendering``
turns a place into the attributes of an Access-Accept; ``downloads`` answers a Cisco switch that asks for the rules of
an ACL it was named; ``ladder`` says how a session is changed or ended there (RFC 5176), ``naks`` what a refusal means.
``service`` keeps the places (``store``), ``book`` has them in memory, ``snippets`` says how equipment is configured.

A place that a vendor cannot express is said when it is applied; if what is lost is essential to it, rendering refuses,
so that nobody is put somewhere milder than meant.
"""
