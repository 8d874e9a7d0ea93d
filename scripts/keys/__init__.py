"""How the lists of keys that nobody may use were made."""
