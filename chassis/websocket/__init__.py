"""WebSocket connections that receive and send in batches, and how to make one.

The one door to `websockets` for whoever talks to a single peer, or serves as a stranger would.
"""

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.frames import EXTERNAL_CLOSE_CODES
from websockets.protocol import OPEN

from .batching import MAX_MESSAGE, WRITE_LIMIT, BatchingClient, BatchingServer
from .dial import Connect, dial, limit_silence

__all__ = [
    "EXTERNAL_CLOSE_CODES",
    "MAX_MESSAGE",
    "OPEN",
    "WRITE_LIMIT",
    "BatchingClient",
    "BatchingServer",
    "Connect",
    "ConnectionClosed",
    "InvalidHandshake",
    "Server",
    "ServerConnection",
    "dial",
    "limit_silence",
    "serve",
]
