"""Fixtures for everyone. Each module of ``tests/support`` holds one part; what a test asks for is made lazily."""

from __future__ import annotations

import os
import sys

from hypothesis import HealthCheck, settings

# The tests start some hundred processes of Troth, and where the environment forbids to keep what was compiled, each of
# them compiles all of it anew: 1.4 s of the 3.1 s that a role's imports take.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The same examples on every run, and no clocks: a machine that is busy is no defect. `make fuzz` looks further.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = [
    "tests.support.clocks",
    "tests.support.databases",
    "tests.support.dns",
    "tests.support.groups",
    "tests.support.mint",
    "tests.support.programs",
    "tests.support.webroot",
    "tests.support.workloads",
    "tests.support.est",
    "tests.support.signals",
    "tests.support.vendors.harness",
    "tests.support.running",
    "tests.support.software_tpm",
    "tests.support.windows",
    "tests.support.attestation_ca",
    "tests.support.dashboard",
    "tests.support.consumers",
    "tests.support.active_directory",
    "tests.support.kerberos",
    "tests.support.radius_server",
    "tests.support.radius_troth",
]
