"""How a policy comes into force: checked, tried on its examples, replayed over the record and the fleet, applied."""
