"""Why the Workload API gives nothing."""

from __future__ import annotations

from troth.kit.errors import reason

CALLER = reason(
    "agent.spiffe.caller",
    "the calling process cannot be told for certain",
    fix="Run the workload where the agent sees its processes, and call again.",
    status=403,
)
PODS = reason(
    "agent.spiffe.pods",
    "what Kubernetes knows of the caller's pod cannot be had",
    fix="Look at the kubelet's address, its token file and its certificate's authority, or at the file with the pods.",
    status=503,
)
