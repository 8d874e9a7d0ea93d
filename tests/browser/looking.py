"""Looking at a page as it is on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_RUN = "async () => (await axe.run({resultTypes: ['violations']})).violations"


class Looker:
    """Opens pages, and keeps what is wrong with them. With TROTH_SCREENSHOTS set, a person gets pictures there."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._axe = Axe().axe_script
        self._where = os.environ.get("TROTH_SCREENSHOTS")

    async def look(self, page: Page, name: str, path: str) -> None:
        """Open ``path`` and hold against it, in each look: nothing is wider than the screen, and axe finds nothing."""
        await page.goto(path)
        await self.see(page, name)

    async def see(self, page: Page, name: str) -> None:
        """The same of the page that is open."""
        await page.evaluate(self._axe)
        for screen, (width, height) in SCREENS.items():
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                look = f"{name}-{screen}-{scheme}"
                if self._where:
                    await page.screenshot(path=Path(self._where) / f"{look}.png", full_page=True)
                if await page.evaluate("document.documentElement.scrollWidth") > width:
                    self.problems.append(f"{look}: wider than the screen")
                self.problems += [
                    f"{look}: {one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
                    for one in await page.evaluate(_RUN)
                ]

    def nothing_is_wrong(self) -> None:
        """Raise AssertionError with all of it."""
        assert not self.problems, "\n".join(self.problems)
