"""Other people's systems: each turns a vendor's words into Troth's own, and holds no rules."""
