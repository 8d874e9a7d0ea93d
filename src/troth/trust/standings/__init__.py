"""Where a subject stands: the standing document, and the pure function from causes, memory and time."""
