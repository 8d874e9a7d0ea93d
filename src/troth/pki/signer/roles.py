"""Who may ask the signer for what: the one table.

The DESIGN's rule 6 in its smallest form: what is not written here is refused. A permission is the operation's tag,
for ``generate_key`` with the purpose behind a colon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from troth.pki.keys.model import KeyPurpose

_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of process may do here.

    Attributes:
        permissions: operations.
        max_frame: octets of one request. A leaf with a thousand names has 40 KiB; a CRL of 100,000 entries 5 MiB.
        releases: the one purpose whose keys are handed out to it.
        approved: operations that it may relay for people: done with the pinned approvers' signatures, and never
            without, whatever is asked.
    """

    permissions: frozenset[str]
    max_frame: int
    releases: KeyPurpose | None = None
    approved: frozenset[str] = frozenset()


_READS = frozenset({"health", "list_keys", "public_key", "notary_state", "custody"})
_GENERATES = frozenset({"generate_key:ocsp", "generate_key:ra", "generate_key:radius", "generate_key:jwt"})

#: What a relay between browsers and the judge needs: questions, and what takes approvals to be done.
_RELAYS = frozenset(
    {"list_approvers", "ask_registration", "ask_approval", "register_approver", "remove_approver", "set_approvals"}
)

ROLES: Mapping[str, Role] = {
    # Serves strangers, so it gets the least: leaves within the limits of the key, and JWT-SVIDs. Issuing keys are made
    # and bound on its asking only if the pinned approvers have signed just that.
    "web": Role(
        _READS | _RELAYS | {"certify", "sign_jwt"},
        256 * _KIB,
        approved=frozenset({"generate_key:issuing", "attach_authority"}),
    ),
    # Issues for operators and jobs, renews responders, builds CRLs, has the ledger's checkpoints signed.
    "worker": Role(_READS | {"certify", "sign_crl", "checkpoint"} | _GENERATES, 64 * _MIB),
    # Answers OCSP with a released key; asks for nothing to be signed.
    "status": Role(_READS | {"release_key"}, 64 * _KIB, releases=KeyPurpose.OCSP),
    # Proves the network's server to supplicants with a released key; asks for nothing to be signed either.
    "radius": Role(_READS | {"release_key"}, 64 * _KIB, releases=KeyPurpose.RADIUS),
    # The supervisor, at the first start: makes an authority's key and binds it, and pins the first two
    # approvers. Later the data directory's owner: `troth key generate`, `troth authority import`, and unsealing. It
    # cannot have anything certified.
    "setup": Role(
        _READS
        | _RELAYS
        | {"generate_key:issuing", "take_key", "adopt_key", "attach_authority", "pin_approver", "unseal"},
        256 * _KIB,
    ),
}
