"""Which processes run, and who is wired to whom.

``supervisor.py`` is ``troth up``: it binds the listeners, runs PostgreSQL (``postgres/``) and keeps one process per
role alive. ``serve.py`` is what each of those processes starts with; ``roles/`` holds the roles themselves.
``layout.py`` names every path in the data directory, ``state.py`` what must be the same after a restart.
"""
