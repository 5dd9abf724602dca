"""Pictures of pages, by Chromium. until phase 3"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from disguise import Disguise
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["chromium", "shoot"]

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--hide-scrollbars"]
WAIT_MS = 30_000
# Text nodes, and what stands in fields.
_REPLACE = """(names) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const change = text => Object.entries(names).reduce((all, [name, other]) => all.replaceAll(name, other), text)
  while (walker.nextNode()) walker.currentNode.data = change(walker.currentNode.data)
  for (const field of document.querySelectorAll("input, textarea")) field.value = change(field.value)
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's, as the browser tests use it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("error: there is no Chromium on PATH\nhint: make browser")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield running
        finally:
            running.close()


def shoot(
    browser: Browser,
    url: str,
    file: Path,
    ready: Callable[[Page], None],
    disguise: Disguise,
    *,
    size: tuple[int, int] = (1100, 700),
    scheme: str = "light",
) -> None:
    """Open a page, wait until it is ready, replace what is this machine's, and take its picture."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    try:
        page.goto(url)
        ready(page)
        page.evaluate(_REPLACE, dict(disguise.names))
        disguise(page.evaluate("document.body.innerText"))
        page.screenshot(path=str(file), animations="disabled", caret="hide")
    finally:
        context.close()
