"""The running of Troth: what is done about an installation rather than with it."""
