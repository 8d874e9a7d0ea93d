"""Vantage points in processes of their own, elsewhere: another machine, another provider, another continent.

Troth asks (``remote``), the vantage looks (``door``), and what passes between them is a signed question and its
answer (``wire``). Both know each other by pinned keys. The vantage has no database, no authority's key and no say: it
tells what it sees from there, and by its own network policy where it looks at all. What it does not answer, or not in
time, counts as not seen.
"""
