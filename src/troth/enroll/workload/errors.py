"""Why an agent is not believed, or a workload gets no certificate."""

from __future__ import annotations

from troth.kit.errors import TrothError, reason

NODE_UNKNOWN = reason(
    "workload.node.unknown",
    "the request is not signed with the key of a certificate that is known here",
    fix="The agent signs with the key of its own certificate; have that issued, or renewed, first.",
    status=403,
)
NODE_NOT_GOOD = reason(
    "workload.node.not_good",
    "the agent's certificate is held, revoked or expired",
    fix="See why on the certificate's page; what holds it must be cleared, or the agent enrolled again.",
    status=403,
)
NODE_PROFILE = reason(
    "workload.node.profile",
    "certificates of this profile are not taken as an agent's",
    fix="Give the agent a certificate of a profile in `workload.agent_profiles`.",
    status=403,
)
NODE_SUBJECT = reason(
    "workload.node.subject",
    "the agent's certificate does not speak for exactly one subject",
    fix="Have a certificate issued that names this host alone.",
    status=403,
)
REQUEST_MALFORMED = reason(
    "workload.request",
    "the agent's request is not as this door wants it",
    fix="docs/workloads.md says what stands in it.",
)
NONCE_REFUSED = reason(
    "workload.nonce",
    "the nonce is unknown, old or used",
    fix="Take the nonce of this answer (Replay-Nonce) and sign again.",
)
WORKLOAD_UNKNOWN = reason(
    "workload.unknown",
    "no workload of the directory is called so",
    fix="Declare it in the directory with its trust domain and the nodes that it may run on.",
    status=403,
)
JWT_AUDIENCE = reason(
    "workload.jwt.audience",
    "a token has an audience of 1 to 16 printable texts, each once",
    fix="Name for whom the token is, as its reader expects it.",
)
JWT_KEYS = reason(
    "workload.jwt.keys",
    "there is no key yet that tokens are signed with",
    fix="The worker makes one within a minute of its start; see its log.",
    status=503,
)
TOO_MANY = reason(
    "workload.too_many",
    "this agent asks too often",
    fix="Wait a minute; `workload.requests_per_minute` is the allowance of each agent.",
    status=429,
)


class NodeRefused(TrothError):
    """Whoever signed this is not taken for an agent."""


class WorkloadRefused(TrothError):
    """The agent is known; what it asks for is not given."""
