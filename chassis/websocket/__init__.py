"""WebSocket connections that receive and send in batches, and how to make one."""

from .batching import MAX_MESSAGE, WRITE_LIMIT, BatchingClient, BatchingServer
from .dial import dial, limit_silence

__all__ = [
    "MAX_MESSAGE",
    "WRITE_LIMIT",
    "BatchingClient",
    "BatchingServer",
    "dial",
    "limit_silence",
]
