"""The pictures of the README: ``python -m scripts.screenshot DATA``.

``DATA`` is the data directory of a fresh, running Troth. This makes the first administrator (with a password that is
forgotten at once), plays ``troth demo``, and looks at the dashboard as the first certificate goes on hold: it writes
``docs/images/dashboard.png`` and ``dashboard-dark.png``.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from troth.assembly import state
from troth.assembly.layout import Layout

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
_NAME = "dora"


def main(data: Path) -> int:
    """Take them."""
    layout = Layout.at(data)
    known = state.read(layout.state_file)
    if known is None or not layout.admin_token.exists():
        print("scripts.screenshot: start a fresh Troth on this data directory first", file=sys.stderr)
        return 1
    password = secrets.token_urlsafe(24)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        light, dark = (_page(browser, known.admin_url, scheme) for scheme in ("light", "dark"))
        _set_up(light, layout.admin_token.read_text().strip(), password)
        _log_in(dark, password)
        command = [sys.executable, "-m", "troth", "demo", "--pace", "0.5", "--data", str(data)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as demo:
            IMAGES.mkdir(exist_ok=True)
            for page, name in ((light, "dashboard.png"), (dark, "dashboard-dark.png")):
                # Nobody reloads: the page follows by itself.
                page.locator("#live-events").get_by_text("certificate.held").wait_for(timeout=120_000)
                page.wait_for_timeout(1_500)
                page.screenshot(path=IMAGES / name)
            browser.close()
            return demo.wait(timeout=120)


def _page(browser: Browser, url: str, scheme: Literal["light", "dark"]) -> Page:
    context = browser.new_context(
        base_url=url, ignore_https_errors=True, color_scheme=scheme,
        viewport={"width": 1440, "height": 900}, device_scale_factor=1.2,
    )  # fmt: skip
    return context.new_page()


def _set_up(page: Page, token: str, password: str) -> None:
    page.goto("/setup")
    page.get_by_label("Set-up token").fill(token)
    page.get_by_label("Your name").fill(_NAME)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Password again").fill(password)
    page.get_by_role("button", name="Make the account").click()
    page.get_by_role("heading", name="Overview").wait_for()


def _log_in(page: Page, password: str) -> None:
    page.goto("/login")
    page.get_by_label("Name").fill(_NAME)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("heading", name="Overview").wait_for()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
