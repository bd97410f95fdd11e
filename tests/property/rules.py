"""What the plain model goes by: the core's constants, some of them small, and bounds."""

from __future__ import annotations

from dataclasses import dataclass

PROBATION = 12
PROBATION_SECONDS = 20.0
MAX_REPEATS = 9
MAX_OUTLIERS = 6
JOIN_SLACK = 12
JOIN_RUN = 6
MIN_SEQUENTIAL = 5
MIN_SEQUENTIAL_RECONNECTED = 2
MIN_SEQUENTIAL_SILENT = 2
SILENCE = 5.0
JOIN_SECONDS = 1.0
"""The constants of the same names, some of them small, so that short schedules reach them."""

SMALL = (
    "PROBATION", "PROBATION_SECONDS", "MAX_REPEATS", "MAX_OUTLIERS", "JOIN_SLACK", "JOIN_RUN",
)  # fmt: skip
"""Those that are."""


@dataclass(frozen=True)
class Rules:
    """What bounds a sequence."""

    seconds: float
    capacity: int
    capacity_bytes: int
    max_jump: int
    first_id: int | None
