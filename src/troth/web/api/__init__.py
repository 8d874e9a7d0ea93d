"""The admin API under ``/api/v1``: the same services and permissions as the pages. Errors are problem documents."""
