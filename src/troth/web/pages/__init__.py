"""The dashboard's pages: thin handlers that ask a service and fill a template."""
