"""The faces over HTTP: the dashboard and the admin API. One application for both, the same services and permissions.

Find your way: ``app`` puts it together; ``door`` is the outermost layer (headers, host, origin, who is asking);
``guard`` lets a handler run only if it names a permission that the principal has; ``services`` says what the rooms
below must offer; ``views`` are the shapes that pages and API share; ``pages/`` and ``api/`` are thin.
"""
