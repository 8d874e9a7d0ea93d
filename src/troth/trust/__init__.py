"""Who and what is trusted, and why: one decision engine for four moments (issue, renew, answer status, let in).

Words that all rooms share lie here: ``standing`` (the one table), ``model`` (what is spoken of), ``vocabulary`` (what a
condition may name), ``documents`` (YAML as people apply it), ``places``, ``versions``, ``wording``, ``errors``.

A decision, in this order: ``cel`` and ``policy`` (conditions and rules) → ``subjects`` (who there is, what is known of
them) → ``decision`` (the pure judge, gathering around it, the answer in sentences) → ``connecting`` (the same at each
connection, from memory) and ``authoring`` (how a policy comes into force).

How standings move: ``signals`` (what can be said, and the causes that are left of it) → ``feeds`` (who may say it) →
``standings`` (what causes add up to, purely, and the record of it) → ``enforcement`` (what follows, within caps) →
``intake`` (one signal on its way in) → ``outbox`` (effects elsewhere).

A room imports from rooms before it; ``pyproject.toml`` holds that.
"""
