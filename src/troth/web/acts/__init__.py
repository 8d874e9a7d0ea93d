"""What may need approval, kind by kind: who previews it and who does it.

The two-person rule (:mod:`troth.access.approvals`) knows of no policies, feeds or certificates; here each kind of act
is told to it. ``documents`` (policies, profiles, feeds, directories), ``connectors``, ``shared_signals``, ``feeds``,
``enforcement``, ``bulk``, ``authorities``, ``closing`` (enrolments and ACME accounts), ``ceremonies``, ``recovery``,
``keys``, ``renewals``, ``tpms``, ``reactions``, ``standings``, ``network`` (access servers, networks, places) and
``judged`` (by the signer); ``wiring`` makes them all. Acts on accounts and on the rule itself stand in
:mod:`troth.access.approvals.acts`.
"""

from __future__ import annotations

#: Every kind of act there is, for the documents; a test keeps it equal to what is wired below.
KINDS = frozenset(
    {
        "role.grant", "account.disable", "account.enable", "account.remove", "person.change", "rule.change",
        "issuance.approve", "ssf.apply", "ssf.grant", "ssf.wide",
        "policy.apply", "profile.apply", "directory.apply", "feed.grant", "feed.secret", "feed.resume",
        "authority.add", "authority.state", "ceremony.import", "certificate.revoke_many", "enforcement.unfreeze",
        "key.block", "staged.approve", "recovery.decide", "authority.cross", "rollover.start",
        "rollover.advance", "rollover.attest", "rollover.back_out", "trust_anchor.add", "trust_anchor.remove",
        "authority.crls", "key.generate", "key.attach", "approver.add", "approver.remove", "approver.number",
        "renewal.early", "attestation.roots", "tpm.register", "tpm.remove", "enrolment.revoke",
        "acme_account.revoke", "connector.apply", "reactions.apply", "standing.apply", "feed.rollout",
        "exemption.grant", "place.apply", "network.apply", "proxy.apply", "nas.apply", "nas.secret",
    }
)  # fmt: skip
