"""The SPIFFE Workload API of a host: SVIDs for the processes on it, over a Unix socket, without a secret.

``http2`` speaks gRPC's HTTP/2 on the socket and hands each call its peer; ``messages`` are the bytes of the API.
``caller`` says who the peer is by the kernel's word (uid, gid, program, unit, container, pod), ``cgroups`` and ``pods``
help it; ``rules`` map that to workloads. ``svids`` keeps a certificate for each workload that somebody waits for:
fetched through ``door``, renewed at half of its life, gone when Troth says so. ``api`` puts them together and
``service`` is what the agent runs.

Sources: SPIFFE Workload API and X509-SVID (spiffe.io, 2024), gRPC over HTTP/2 (PROTOCOL-HTTP2.md).
"""
