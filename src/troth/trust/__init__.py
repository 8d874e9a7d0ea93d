"""Who and what is trusted, and why: one decision engine for four moments (issue, renew, answer status, let in).

Reading order: ``standing`` (the one table), ``model`` (what is spoken of), ``vocabulary`` and ``cel`` (what a
condition may say), ``grammar`` and ``policy`` (rules), ``judge`` (the pure decision), ``decide`` (gathering around
it), ``explain`` and ``why`` (the decision in sentences). ``subjects``, ``facts`` and ``directory`` hold who there is
and what is known of them.

How standings move: ``kinds`` and ``signals`` (what can be said), ``causes`` (what is left of it), ``rules`` and
``scoring`` (what it adds up to, purely), ``assessor`` (that in a transaction, with its record), ``taking`` and
``capping`` (one signal within its caps), ``enforce`` (what follows), ``settling`` (what time alone changes),
``reevaluation`` (everybody anew), ``exemptions``.
"""
