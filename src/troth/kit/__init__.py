"""The ground under every room: clock, identifiers, configuration, errors with stable codes, logging.

Nothing here knows what a certificate is. Each module holds one idea; import from the module, not from here.
"""
