"""Enrolments: what an operator hands out so that a client may open accounts, and for which names it then vouches.

``model`` says what one is and which names it covers; ``service`` makes, finds, uses and revokes them; ``profiles``
writes them down for Apple's devices. Nothing here knows a protocol: ACME uses it now, SCEP and EST can.
"""
