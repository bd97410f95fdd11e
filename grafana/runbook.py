"""The runbook, `docs/runbook.md`, and the page that Grafana shows of it.

Its source is read by people as it is; the page exists since Grafana knows neither where the
repository is hosted nor how to draw its text. It understands what the runbook uses: headings,
paragraphs, bold words and code.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "docs" / "runbook.md"
FOLDER = Path(__file__).with_name("public")
ADDRESS = "/public/seriatim/runbook.html"
"""Where Grafana serves it, wherever Grafana itself is."""

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Seriatim: Runbook</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem }
h3 { margin: 2.5rem 0 0; scroll-margin-top: 1rem }
:target { outline: 2px solid; outline-offset: .4rem }
code { font-size: .95em; overflow-wrap: anywhere }
</style>
"""


def paragraphs() -> dict[str, str]:
    """Give what is said about each alert, by its name."""
    parts = re.split(r"(?m)^###? +(\S+)\n", SOURCE.read_text())[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: text.strip() for name, text in found.items() if text.strip()}


def page() -> str:
    """Draw the runbook as a page on which each alert has its name as its place."""
    blocks = re.split(r"\n{2,}", SOURCE.read_text().strip())
    return _HEAD + "\n".join(map(_block, blocks)) + "\n</html>\n"


def _block(text: str) -> str:
    heading = re.fullmatch(r"(#+) +(.+)", text)
    if heading is None:
        return f"<p>{_inline(text)}</p>"
    level, name = len(heading[1]), _inline(heading[2])
    return f'<h{level} id="{name}">{name}</h{level}>'


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
