"""dns-01 (RFC 8555, 8.4): a TXT record at ``_acme-challenge.<name>`` holds the digest of the key authorization.

dns-account-01 is the same below the account's label (``dns_account01``).
"""

from __future__ import annotations

import hmac

from troth.enroll.acme.errors import VALIDATION_INCORRECT
from troth.enroll.acme.validate.outcome import Challenge, Log, NotShown
from troth.enroll.acme.validate.resolver import Resolver


async def validate_dns01(challenge: Challenge, *, resolver: Resolver, log: Log) -> None:
    """Return if any TXT value is the digest. Raises NotShown.

    Any of several values may match: two orders for a name and its wildcard publish theirs side by side.
    """
    below = f"{challenge.label}." if challenge.label else ""
    name = f"{below}_acme-challenge.{challenge.identifier.value}"
    values = await resolver.texts(name)
    expected = challenge.digest_text().encode("ascii")
    log.add(name, None, f"{len(values)} TXT record(s)")
    if not any(hmac.compare_digest(value, expected) for value in values):
        raise NotShown(
            VALIDATION_INCORRECT,
            f"none of the {len(values)} TXT record(s) at {name} is the digest of this challenge's key authorization",
            # Secondaries lag and clients leave old records behind: the right one may appear yet.
            retryable=True,
        )
