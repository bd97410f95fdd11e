"""The orderer's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chassis.settings import WithRedis, either, integer, number, setting, text
from relay.messages import LARGEST

from .feed import Options
from .reorder.limits import Limits

CAPACITY_BYTES = 256 * 1024 * 1024
"""Bytes of held messages at which the oldest gap is given up, whatever their number."""

LEAST_JUMP = 1000
"""Ids; however small the capacity, a frame no farther ahead than this is no outlier."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the orderer can be told."""

    first_id: int | None = setting(
        "ORDERER_FIRST_ID",
        either("auto", integer(0, LARGEST)),
        "auto",
        "first id to expect; auto = the lowest seen within the first moments",
    )
    id_field: str = setting(
        "ORDERER_ID_FIELD", text, "id", "the field that carries the sequence number"
    )
    gap_timeout: float | None = setting(
        "ORDERER_GAP_TIMEOUT",
        either("auto", lambda text: math.inf if text == "never" else number(0.001, 86400)(text)),
        "auto",
        "seconds to wait for a missing id; auto learns it; never waits for ever",
    )
    capacity: int = setting(
        "ORDERER_CAPACITY",
        integer(1, 10_000_000),
        "100000",
        "messages held back before the oldest gap is given up",
    )

    @property
    def options(self) -> Options:
        """What each feed is told."""
        jump = max(self.capacity, LEAST_JUMP)
        limits = Limits(self.capacity, CAPACITY_BYTES, jump, self.first_id)
        return Options(limits, self.id_field, self.gap_timeout)
