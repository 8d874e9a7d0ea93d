"""A signal on its way in: the inbox, whom it is about, what it may change, and what names nobody."""
