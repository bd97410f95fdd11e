"""The viewer's settings."""

from __future__ import annotations

import dataclasses

from chassis.settings import WithRedis, integer, setting, text


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Settings(WithRedis):
    """What the viewer can be told."""

    host: str = setting("VIEWER_HOST", text, "0.0.0.0", "address to listen on")
    port: int = setting(
        "VIEWER_PORT", integer(0, 65535), "8080", "port; 0 = any free port, which is logged"
    )
