"""What connectors do at their vendors: one module each, with a table of ports. ``acting`` is what they stand on."""
