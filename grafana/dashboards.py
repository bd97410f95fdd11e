"""All dashboards; `python -m grafana.dashboards` writes `grafana/dashboards/*.json`.

It also writes the runbook's page to `grafana/public/`.

A service has its dashboard, or its row in one: a function that returns panels, the present first,
then rate, errors, duration and backlog, then what else helps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import chat, infrastructure, overview, relay, runbook, wisdom
from .board import Board, build

FOLDER = Path(__file__).with_name("dashboards")

BOARDS: Sequence[Callable[[], Board]] = (
    overview.board,
    relay.board,
    chat.board,
    wisdom.board,
    infrastructure.board,
)


def dashboards() -> dict[str, str]:
    """Generate the dashboards, as JSON by file name; equal sources give equal bytes."""
    boards = [make() for make in BOARDS]
    return {
        f"{board.name}.json": json.dumps(
            build(board), indent=2, sort_keys=True, ensure_ascii=False
        ) + "\n"
        for board in boards
    }  # fmt: skip


if __name__ == "__main__":
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
    (runbook.FOLDER / "runbook.html").write_text(runbook.page())
