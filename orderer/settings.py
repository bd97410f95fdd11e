"""The orderer's settings."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.settings import WithRedis, either, integer, number, setting, text
from relay.messages import LARGEST


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
    gap_timeout: str | float | None = setting(
        "ORDERER_GAP_TIMEOUT",
        either("never", lambda value: "auto" if value == "auto" else number(0.001, 86400)(value)),
        "auto",
        "seconds to wait for a missing id; auto learns it; never waits for ever",
    )
    capacity: int = setting(
        "ORDERER_CAPACITY",
        integer(1, 10_000_000),
        "100000",
        "messages held back before the oldest gap is given up",
    )
