"""Devices without certificates: by their address (MAB) or with a password (PAP). Weak, and never more than *restrict*.

Find your way in this order: ``mab`` and ``pap`` (what a packet asks and whether it proves it; pure) → ``lists`` (which
addresses and accounts there are, in memory) → ``limits`` (guesses) → ``service`` (the whole way to an answer) →
``store`` and ``desk`` (how they are kept).

Both are off until a network says otherwise (``methods: [eap-tls, mab]`` under ``networks:``). What they give is decided
where everything else is: the policy at the moment *connect*, capped at *restrict* whatever it says. An address proves
nothing: anybody can take another's. So one that has ever shown a certificate does not get in without it.
"""
