"""The project's own lints: what ruff and mypy cannot know about a certificate authority.

``python -m scripts.checks`` reads every module under ``src/troth`` and prints what breaks a rule of the house
(``rules.py``), a fence (``fences.py``) or the reason registry (``reasons.py``). An exception to a rule stands in
``exceptions.py`` with its reason; one that is no longer needed is a finding itself.
"""
