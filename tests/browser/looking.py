"""Looking at a page as it is on a desk and on a phone, in the light and in the dark.

What axe finds in a page's structure depends on the screen alone, so it is asked once on each. Whether a text can be
read depends on colours and sizes alone, and to know it is two thirds of axe's time: a text is judged if none before has
been, on any page, that has the same ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_STRUCTURE = """async () => (await axe.run(
  {resultTypes: ['violations'], preload: false, rules: {'color-contrast': {enabled: false}}})).violations"""
#: Takes the styles that are proved, returns those that are proved now, and what cannot be read.
_CONTRAST = """async (proved) => {
  const known = new Set(proved), chains = new Map(), styles = new Map();
  const chain = (one) => {
    if (!one) return '';
    if (!chains.has(one)) {
      const {backgroundColor, backgroundImage, opacity, filter} = getComputedStyle(one);
      const own = [backgroundColor, backgroundImage, opacity, filter].join(' ');
      const rest = chain(one.parentElement);
      chains.set(one, own === 'rgba(0, 0, 0, 0) none 1 none' ? rest : own + ' < ' + rest);
    }
    return chains.get(one);
  };
  for (const one of document.body.querySelectorAll('*')) {
    const says = one.matches('input, select, textarea')
      || [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!says || !one.checkVisibility()) continue;
    const {color, fontSize, fontWeight, textShadow} = getComputedStyle(one);
    const style = [color, fontSize, fontWeight, textShadow, chain(one)].join(' ');
    if (!known.has(style)) styles.set(one, style);
  }
  if (!styles.size) return {proved: [], violations: []};
  const {passes, violations} = await axe.run({include: [...styles.keys()]}, {
    runOnly: ['color-contrast'], resultTypes: ['violations', 'passes'], elementRef: true, preload: false});
  const judged = passes.flatMap((one) => one.nodes.map((node) => styles.get(node.element)));
  for (const one of [...passes, ...violations]) for (const node of one.nodes) delete node.element;
  return {proved: [...new Set(judged)].filter(Boolean), violations};
}"""
#: The styles of text that could be read.
_PROVED: set[str] = set()


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
                self._note(look, await self._unreadable(page))
            self._note(f"{name}-{screen}", await page.evaluate(_STRUCTURE))

    async def _unreadable(self, page: Page) -> list[Any]:
        found = await page.evaluate(_CONTRAST, sorted(_PROVED))
        _PROVED.update(found["proved"])
        return list(found["violations"])

    def _note(self, look: str, violations: list[Any]) -> None:
        self.problems += [
            f"{look}: {one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in violations
        ]

    def nothing_is_wrong(self) -> None:
        """Raise AssertionError with all of it."""
        assert not self.problems, "\n".join(self.problems)
