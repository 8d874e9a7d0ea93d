"""Who and what is trusted, and why: one decision engine for four moments (issue, renew, answer status, let in).

Reading order: ``standing`` (the one table), ``model`` (what is spoken of), ``vocabulary`` and ``cel`` (what a
condition may say), ``grammar`` and ``policy`` (rules), ``judge`` (the pure decision), ``decide`` (gathering around
it), ``explain`` and ``why`` (the decision in sentences). ``subjects``, ``facts`` and ``directory`` hold who there is
and what is known of them; ``signals``, ``causes`` and ``enforce`` move standings.
"""
