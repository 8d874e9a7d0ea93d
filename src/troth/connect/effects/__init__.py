"""The ports of effects: what Troth does and tells elsewhere when a standing changes (``trust/outbox``).

``targets`` knows a target's definition and secret; then one module for each kind: ``webhook``, ``chat``, ``mail`` (on
``smtp``), ``vpn`` (on ``vici``). ``words`` is what people are told.
"""
