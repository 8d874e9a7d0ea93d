"""What the supervisor asks before it decides that there is nothing to make."""

from __future__ import annotations

#: Whether the authorities stand: both are there, and the root's CRL has been taken in.
COMPLETE = """
SELECT count(*) = 2 AND EXISTS (SELECT 1 FROM crl WHERE authority = $1 AND state = 'published')
FROM authority WHERE slug = ANY($2::text[])"""
