"""Run many schedules and tell what they reached: `python -m tests.property.reach --examples N`."""

from __future__ import annotations

import argparse
from collections import Counter

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "reach",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reach")

from tests.property.machines import DoubtfulSchedules, Restarts, Schedules, run  # noqa: E402

MACHINES = {kind.__name__: kind for kind in (Schedules, DoubtfulSchedules, Restarts)}
AT_A_TIME = 5000


def main() -> None:
    """Run schedules of one kind; the first wrong one ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--machine", choices=MACHINES, default="Restarts")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    while total["schedules"] < arguments.examples:
        left = min(AT_A_TIME, arguments.examples - total["schedules"])
        total += run(MACHINES[arguments.machine], left, phases=[Phase.generate, Phase.shrink])
        print(", ".join(f"{what}: {times}" for what, times in sorted(total.items())), flush=True)


if __name__ == "__main__":
    main()
