"""What a host's agent may ask on its own authority: certificates for the workloads that run there (SPIFFE).

ACME has no identifier for a URI, so a SPIFFE ID cannot be an order. The door here is smaller: one message, signed with
the key of the agent's own certificate (:mod:`~troth.enroll.workload.node`), that names a workload of the directory.
The one engine judges it (:mod:`~troth.enroll.workload.desk`): which workload may run on which node is the directory's
word, never the agent's. :mod:`~troth.enroll.workload.bundle` is what everybody may know: the roots.
"""
