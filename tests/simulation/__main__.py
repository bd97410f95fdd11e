"""Run schedules, and say how to run again one that went wrong.

python -m tests.simulation [--schedules 1000] [--first 0] [--controls]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict

from .controls import CONTROLS
from .world import simulate


def again(seed: int) -> str:
    """Tell the command that runs a schedule again."""
    return f"make simulate SCHEDULES=1 FIRST={seed}"


def first_wrong(first: int, schedules: int) -> tuple[int, BaseException] | None:
    """Run schedules until one goes wrong; returns its seed and what it broke."""
    for seed in range(first, first + schedules):
        try:
            simulate(seed)
        except Exception as error:
            return seed, error
    return None


def main() -> int:
    """Run what is asked for; returns 1 if a promise was broken, or a control was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (0)")
    parser.add_argument("--controls", action="store_true", help="see that broken code is found")
    options = parser.parse_args()
    return controls(options) if options.controls else schedules(options)


def schedules(options: argparse.Namespace) -> int:
    """Run schedules, and count what they have got to."""
    began, wrong = time.monotonic(), 0
    reach: dict[str, int] = {}
    for seed in range(options.first, options.first + options.schedules):
        try:
            for name, count in asdict(simulate(seed)).items():
                reach[name] = reach.get(name, 0) + count
        except Exception as error:
            wrong += 1
            print(f"{type(error).__name__}: {error}\n  again: {again(seed)}", flush=True)
    rate = options.schedules / (time.monotonic() - began)
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in reach.items())
    print(f"{options.schedules} schedules, {wrong} wrong; {rate:.1f} a second; {counts}")
    return int(wrong > 0)


def controls(options: argparse.Namespace) -> int:
    """See how many schedules it takes to find each broken orderer."""
    missed = 0
    for name, control in CONTROLS.items():
        with control():
            found = first_wrong(options.first, options.schedules)
        missed += found is None
        words = "NOT FOUND" if found is None else f"found by schedule {found[0]}: {found[1]}"
        print(f"{name}: {words}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
