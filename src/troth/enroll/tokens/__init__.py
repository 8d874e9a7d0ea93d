"""A platform's word for a machine or a job, exchanged for a credential that opens one ACME account.

``jwt`` and ``keys`` verify OpenID Connect tokens (CI, Kubernetes, Google); ``cms``, ``aws`` and ``azure`` the signed
documents of those clouds. Each gives a :class:`~troth.enroll.tokens.model.Proof` or raises. ``rules`` maps its claims
to names by configuration, ``desk`` makes the credential, ``routes`` is the door. Nothing that the token says of names
counts but by a rule; an issuer that is not configured does not exist.
"""
