"""What pages and ``troth events`` say of applications that ask, and of the journal of their decisions."""

from __future__ import annotations

SENTENCES = {
    "application.added": "Registered the application {name}",
    "application.token_changed": "Changed the token of the application {name}",
    "application.removed": "Took off the application {name}",
    "policy.status_held_back": "Policy {policy} would hold {holds} of {judged} certificates, and is held back",
    "journal.damaged": "A file of decisions is damaged, and some of them are lost: {file}",
}
