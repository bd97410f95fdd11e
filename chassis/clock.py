"""The one door to time and chance.

Everybody calls these by way of the module (`clock.monotonic()`), so that a simulation can put its
own in their place.
"""

from __future__ import annotations

import random
import secrets
import time

monotonic = time.monotonic
"""Seconds from some point on; never goes back. For what is measured or waited for here."""

sleep = time.sleep
"""Block the whole process for so many seconds; never within an event loop."""

wall = time.time
"""Seconds since 1970 (UTC), as far as the host knows."""

chance = random.random
"""A number from 0 to below 1."""

draw = random.randint
"""A whole number between two, both included."""

shuffle = random.shuffle
"""Bring a list into random order."""

Dice = random.Random
"""A source of chance of its own; what comes of it repeats with its seed."""

token = secrets.token_hex
"""So many random bytes as hexadecimal digits, which nobody can guess."""


def wall_us() -> int:
    """Microseconds since 1970 (UTC)."""
    return time.time_ns() // 1000
