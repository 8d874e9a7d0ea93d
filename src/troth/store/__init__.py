"""PostgreSQL under everything: the pool, write units, migrations, leases, jobs.

Read in this order: ``statement`` (how SQL is written so that many callers share one statement), ``unit`` (what is
written together or not at all), ``pool`` (who commits it), ``lease`` and ``jobs`` (who does what, and when).
"""
