"""What the supervisor asks before it decides that there is nothing to make."""

from __future__ import annotations

#: Whether the authorities stand: the root with its CRL, and for each class of ``$2`` one that has ever served it.
COMPLETE = """
SELECT EXISTS (SELECT 1 FROM authority WHERE slug = $1)
   AND (EXISTS (SELECT 1 FROM crl WHERE authority = $1 AND state = 'published')
        OR EXISTS (SELECT 1 FROM crl_issue WHERE authority = $1 AND state = 'published'))
   AND NOT EXISTS (
       SELECT 1 FROM unnest($2::text[]) AS wanted(class) WHERE NOT EXISTS (
           SELECT 1 FROM authority a WHERE a.kind = 'issuing' AND a.issuer_classes @> to_jsonb(wanted.class)))"""
