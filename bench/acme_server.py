"""What ``bench.acme`` knows of a server that it loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """Something to load.

    Attributes:
        trust: PEM file of the root that its https certificate verifies to.
        cpu: CPU seconds spent so far, by part.
        binding: key id and HMAC key of an enrolment that vouches for the names, or empty.
    """

    name: str
    directory: str
    trust: str
    cpu: Callable[[], dict[str, float]]
    binding: tuple[str, str] = ("", "")
