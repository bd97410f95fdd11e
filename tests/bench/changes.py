"""What is lost when `docker compose up -d` makes Redis and all that use it anew, under load.

    python -m tests.bench.changes [rate …] [--times 10]

The feed sends nothing twice and waits while nobody reads it. After each change of two settings the
endpoint is asked what it misses, once every gap would have been given up.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.compose.project import ANEW, Project, faults
from tests.support.waiting import until

PROJECT = "seriatim-changes"
"""Name of the project, so that a user's own stack and its data stay as they are."""

GAP_TIMEOUT = 10
"""Seconds after which the orderer gives up what is missing."""

FLOWS_WITHIN = 120.0
"""Seconds that messages may take to come after a change."""


def play(rate: int, times: int) -> None:
    """Change settings so many times and print what each change did."""
    with tempfile.TemporaryDirectory() as directory:
        project = Project(
            Path(directory), PROJECT, SIMULATOR_RATE=rate, ORDERER_GAP_TIMEOUT=GAP_TIMEOUT
        )
        project.down("--volumes")
        try:
            project.compose("build")
            project.up()
            project.wait_for_more(5 * rate, "messages arrive")
            for time in range(times):
                change(project, rate, time)
        finally:
            project.down("--volumes")


def change(project: Project, rate: int, time: int) -> None:
    """Change two settings, wait until what is missing shows, and print that."""
    before = project.report()
    with project.endings(*ANEW) as endings:
        project.set(LEASE_TTL=4 - time % 2, REDIS_MAXMEMORY=f"{900 - time % 2}mb")
        seconds = project.up()
    goal = project.received + (GAP_TIMEOUT + 1) * rate
    until(lambda: project.received >= goal, "messages arrive", FLOWS_WITHIN)
    after = project.report()
    failed = {name: status for name, status in endings.items() if status}
    print(
        f"  {rate}/s, change {time + 1}: {after['received'] - before['received']} came,"
        f" {after['missing'] - before['missing']} lost; up after {seconds:.0f} s;"
        f" faults so far {faults(after) or 'none'}; exit statuses {failed or 'all 0'}",
        flush=True,
    )


def main() -> None:
    """Play at the rates that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.changes", description=__doc__)
    parser.add_argument("rates", nargs="*", type=int, default=[300, 5000], help="messages/s")
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    for rate in options.rates:
        play(rate, options.times)


if __name__ == "__main__":
    main()
