"""The part of CEL that conditions are written in: read, checked, bounded in cost, compiled once."""
