"""Fixtures for everyone. Each module of ``tests/support`` holds one part; what a test asks for is made lazily."""

from __future__ import annotations

pytest_plugins = [
    "tests.support.clocks",
    "tests.support.databases",
    "tests.support.dns",
    "tests.support.groups",
    "tests.support.mint",
    "tests.support.programs",
    "tests.support.webroot",
    "tests.support.signals",
    "tests.support.running",
    "tests.support.dashboard",
    "tests.support.consumers",
    "tests.support.active_directory",
    "tests.support.kerberos",
    "tests.support.radius_server",
]
