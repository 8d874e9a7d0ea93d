"""Answering an ACME server's challenges: a solver for each kind, made from its table of the configuration."""
