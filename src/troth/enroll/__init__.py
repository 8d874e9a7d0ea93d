"""The doors through which certificates are asked for: one package per protocol.

A door proves what can be proved about the asker, hands the evidence to ``trust`` and the decision to ``pki``'s gate.
"""
