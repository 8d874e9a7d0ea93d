"""The decision: a question, a snapshot of what is known, a pure judge, and the answer in sentences."""
