"""Troth as a transmitter of shared signals: what a change of standing means, told to others as signed events (CAEP).

``definitions`` grants receivers what they may hear; nobody else gets a stream. ``keys`` signs, ``saying`` turns a
change of standing into events, ``port`` queues them through ``sending`` (it is the outbox's port ``ssf``, so that what
is told is told at least once, and in order for each subject). ``access`` proves receivers, ``management`` is the stream
API (SSF 1.0, 8.1), ``polling`` answers polls (RFC 8936), ``pusher`` pushes (RFC 8935). ``desk`` is for people;
``store`` and ``queue_store`` hold the SQL.
"""
