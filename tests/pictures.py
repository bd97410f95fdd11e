"""Draw the README's picture of the page at work: `make pictures`.

Everything in it is real: the stack of `make up` with its test feed, and the system's Chromium.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

from tests.support.browser import FLAGS, program
from tests.support.processes import environment

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "relay-at-work.png"
SIZE: ViewportSize = {"width": 1120, "height": 548}

FEED = {"SIMULATOR_LOSSES": "0.0002", "SIMULATOR_GARBAGE": "0.0002", "SIMULATOR_SEED": "7"}
"""Enough goes wrong for something to be seen."""


@contextmanager
def stack(home: str) -> Iterator[str]:
    """Run the stack on free ports; yields the page's address."""
    ports = dict.fromkeys(("SIMULATOR", "CHAT", "WISDOM", "VIEWER"), "0")
    settings: dict[str, object] = {**FEED, **{f"{name}_PORT": port for name, port in ports.items()}}
    running = subprocess.Popen(
        [sys.executable, "-m", "standalone", "up", "--home", home, "--no-persist"],
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            found = re.search(r"relay at work +(\S+)", line)
            if found:
                yield found[1]
                break
    finally:
        running.terminate()
        running.communicate()


def draw(address: str) -> None:
    """Wait until there is something to see, and write the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=FLAGS)
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        expect(page.locator("#ledger .name").first).to_be_visible(timeout=60_000)
        expect(page.locator("#delay-text")).to_contain_text("in the last", timeout=60_000)
        expect(page.locator("#in .tile")).to_have_count(24, timeout=60_000)
        page.locator("#held .early:nth-child(4)").wait_for(timeout=60_000)
        page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, stack(home) as address:
        draw(address)
