"""``troth demo``: the walk of one living certificate, played on a running Troth with an invented fleet.

It is a visitor, not a part of the product: it knows only the doors that anyone has (the API on the local socket,
ACME, OCSP, the signed webhook) and says of each step what it did and where to look. ``fleet.py`` invents,
``doors.py`` knocks, ``story.py`` tells, ``walk.py`` is the order of things, ``cleaning.py`` takes it all away again.
"""
