"""Who may act: administrators, their roles, how they log in, and for how long that is believed.

Find your way: ``roles`` says what each role may do; ``passwords`` and ``passkeys`` check what a person shows and keep
nothing; ``invitations``, ``sessions`` and ``tokens`` keep what their names say; ``service`` logs people in and holds it
all together. Secrets of ours (set-up tokens, session ids, API tokens) are 256 random bits and stored as SHA-256 only;
passwords are stored as argon2id.
"""
