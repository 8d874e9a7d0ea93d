"""What follows from a standing: holds and releases within caps, orders, exemptions, and everybody anew."""
