"""What a schedule may contain, drawn from its seed, and what it has got to."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from .network import Faults

SHARED = 0.4
"""Chance that feeds share a lane."""


@dataclass(frozen=True)
class Scenario:
    """What a schedule may contain, drawn from its seed."""

    feeds: int
    messages: int
    numberings: int
    depth: int
    first_id: str
    gap_timeout: str
    losses: float
    faults: Faults
    kills: float
    """Seconds between two deaths of a process, about; inf: none dies."""
    freezes: float
    cuts: float
    """Seconds between two times at which a connection to an endpoint breaks."""
    goes_back: float
    """Seconds between two times at which the server comes back as it was earlier; inf: never."""
    straggles: bool
    """Whether the last frame of a numbering comes among the first of the next one; then no line
    is connected anew, for after that fewer frames prove a numbering."""
    forgets: float
    """Chance that it then has lost everything."""
    away: float
    """Seconds between two outages of the server."""
    clock_steps: float
    shared: bool = False
    """Whether feeds share a lane."""

    @classmethod
    def draw(cls, dice: random.Random) -> Scenario:
        """Draw one."""
        goes_back = dice.choice([math.inf] * 4 + [1.5])
        numberings = dice.choice([1, 2, 2, 3])
        losses = dice.choice([0.0, 0.0, 0.05])
        if goes_back < math.inf or losses:
            numberings = 1  # what is missing of one numbering, the next one's would fill
        timeout = "never" if goes_back == math.inf and not losses else "4"
        if timeout == "never" and dice.random() < 0.3:
            timeout = "30"
        shared = dice.random() < SHARED
        return cls(
            shared=shared,
            feeds=dice.choice([2, 3] if shared else [1, 1, 2, 3]),
            messages=dice.choice([30, 60, 120]),
            numberings=numberings,
            depth=dice.choice([1, 4, 12]),
            first_id=dice.choice(["0", "auto"]),
            gap_timeout=timeout,
            losses=losses,
            faults=Faults(
                lost_request=dice.choice([0.0, 0.02]),
                lost_reply=dice.choice([0.0, 0.02]),
                stall=dice.choice([0.0, 0.01]),
            ),
            kills=dice.choice([math.inf, 0.5, 1.0, 2.0]),
            cuts=dice.choice([math.inf, 0.5, 2.0]),
            freezes=dice.choice([math.inf, math.inf, 1.5]),
            goes_back=goes_back,
            straggles=numberings > 1 and dice.random() < 0.5,
            forgets=dice.choice([0.0, 0.0, 0.5]),
            away=dice.choice([math.inf, math.inf, 2.0]),
            clock_steps=dice.choice([math.inf, math.inf, 1.0]),
        )


@dataclass
class Reach:
    """What a schedule has got to, so that nobody takes an idle one for a good one."""

    messages: int = 0
    kills: int = 0
    restarts: int = 0
    went_back: int = 0
