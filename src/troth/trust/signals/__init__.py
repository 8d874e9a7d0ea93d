"""What can be said of a subject, and what is left of it: kinds, signals, hold causes."""
