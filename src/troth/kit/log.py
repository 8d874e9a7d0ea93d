"""Logging: structured lines on standard error, one per event, with a correlation id and never a secret.

``configure`` is called once per process. Rooms ask for a logger with :func:`get_logger` and log events by a
short fixed name with typed values: ``log.info("certificate.issued", serial=…)``.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog

#: Keys whose values are replaced before a line is written, whoever logs them.
_SECRET_KEYS = frozenset(
    {
        "authorization",
        "cookie",
        "key_authorization",
        "passphrase",
        "password",
        "private_key",
        "secret",
        "token",
        "set_cookie",
        "webhook_signature",
        "hmac_key",
        "pin",
    }
)


def _redact(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in event:
        if key in _SECRET_KEYS:
            event[key] = "[redacted]"
    return event


def configure(*, role: str, level: str = "info", json_lines: bool = True) -> None:
    """Set logging up for this process: standard error, UTC times, ``role`` on every line."""
    renderer: Any = structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redact,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # A line and its end in one write: the processes of a Troth share standard error, and with PYTHONUNBUFFERED
        # set (as containers do) what is printed goes out in two.
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s", force=True)


def get_logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry ``room``."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=room))
