"""Deny by default: a handler runs only if it names its permission and the principal has it.

One guard sits on the whole application. A handler says ``opt=needs(Permission.X)``, or ``opt=public()`` for the few
doors that stand before a log-in; one that says nothing answers nobody.
"""

from __future__ import annotations

from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from troth.access.errors import Forbidden, NotLoggedIn
from troth.access.model import Principal
from troth.access.roles import Permission

_KEY = "permission"
_PUBLIC = "public"


def needs(permission: Permission, *, quiet: bool = False) -> dict[str, Any]:
    """The ``opt`` of a handler. ``quiet``: a request that a page makes by itself keeps no session alive."""
    return {_KEY: permission, "quiet": quiet}


def public() -> dict[str, Any]:
    """The ``opt`` of a door before the log-in."""
    return {_KEY: _PUBLIC}


def principal_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal | None:
    """Who asks, as the door has found out."""
    return cast("Principal | None", connection.scope.get("user"))


def asker(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """Who asks, in a handler that only logged-in principals reach."""
    found = principal_of(connection)
    if found is None:
        raise NotLoggedIn
    return found


def require_permission(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard. Raises NotLoggedIn or Forbidden."""
    wanted = handler.opt.get(_KEY)
    if wanted == _PUBLIC:
        return
    who = asker(connection)
    if not isinstance(wanted, Permission):
        raise Forbidden("(none that is given to anybody)")
    if not who.may(wanted):
        raise Forbidden(wanted.value)
