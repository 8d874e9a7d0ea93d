"""Ceremonies: what a root key signs, on a machine without a network, before witnesses, from one plan.

A YAML plan (``plan``) is the only input. ``checks`` holds it against what it names; ``subject``, ``certificates`` and
``crl`` make the bytes to be signed; ``lints`` says what is wrong with them; ``custody`` opens or makes the key
(``software``, ``token``); ``shares`` and ``share_files`` split what opens it among custodians; ``run`` is the order of
it all, and ``desk`` the directory in which it becomes whole or not at all. ``transcript`` is the sealed record,
``script`` the paper that people follow, ``presets`` writes whole hierarchies of plans.

Nothing here needs a database, and nothing opens a socket. What an online Troth does with the results is in ``record``.
"""
