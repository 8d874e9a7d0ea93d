"""How the walk is told: a title for each step, a line or two, where to see it, and time to look."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from rich.console import Console
from rich.markup import escape


class Story:
    """Tells to ``stream``, in colour where that is a terminal.

    Args:
        admin_url: base of the dashboard, for the addresses of pages.
        pace: seconds of pause per beat; 0 never waits.
    """

    def __init__(self, admin_url: str, *, pace: float, stream: TextIO | None = None) -> None:
        self._admin_url = admin_url
        self._pace = pace
        self._console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._chapters = 0

    def title(self, text: str) -> None:
        """The beginning of a step."""
        self._chapters += 1
        self._console.print(f"\n[bold]{self._chapters}  {escape(text)}[/bold]")

    def aside(self, text: str) -> None:
        """A line between the steps."""
        self._console.print(escape(text))

    def tell(self, text: str) -> None:
        """A line of the step."""
        self._console.print(f"   {escape(text)}")

    def quote(self, text: str) -> None:
        """What Troth itself says, word for word."""
        self._console.print(f"   [dim]│[/dim] {escape(text)}")

    def see(self, path: str) -> None:
        """The page on which the step can be seen."""
        self._console.print(f"   [dim]→[/dim] [cyan]{escape(self._admin_url + path)}[/cyan]")

    async def beat(self, beats: float = 4.0) -> None:
        """Time to read, and to look at the page."""
        if self._pace:
            await asyncio.sleep(beats * self._pace)
