"""The chat's rivals, doing the same: what one says goes by way of Redis to all.

Their packages are installed into a directory that is thrown away; the project does not depend
on them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PYTHON_SOCKETIO = """
import sys
import socketio, uvicorn

redis, port = sys.argv[1:]
sio = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(redis), transports=["websocket"]
)

@sio.event
async def message(sid, text):
    await sio.emit("message", text)

uvicorn.run(socketio.ASGIApp(sio), host="127.0.0.1", port=int(port), log_level="warning",
            loop="uvloop", ws_per_message_deflate=False)
"""

SOCKET_IO = """
import { Server } from "socket.io";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";

const [redis, port] = process.argv.slice(2);
const publisher = createClient({ url: redis });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);
const io = new Server({
  adapter: createAdapter(publisher, subscriber), transports: ["websocket"],
  perMessageDeflate: false,
});
io.on("connection", (socket) => socket.on("message", (text) => io.emit("message", text)));
io.listen(Number(port));
"""

BARE = """
import asyncio, sys
import uvloop
from websockets.asyncio.server import broadcast, serve

port = int(sys.argv[2])
connections = set()

async def handle(connection):
    connections.add(connection)
    try:
        async for message in connection:
            broadcast(connections, message)
    finally:
        connections.discard(connection)

async def main():
    async with serve(handle, "127.0.0.1", port, compression=None):
        await asyncio.Future()

uvloop.run(main())
"""
"""Without Redis, history, acknowledgement or any limit: the least that it can cost."""


def prepare(kind: str, directory: Path) -> list[str] | str:
    """Install a rival; returns its command (without Redis URL and port), or why it has none."""
    if kind == "bare":
        script = directory / "bare.py"
        script.write_text(BARE)
        return [sys.executable, str(script)]
    if kind == "python-socketio":
        venv = directory / "venv"
        python = str(venv / "bin" / "python")
        steps = [
            [sys.executable, "-m", "venv", str(venv)],
            [python, "-m", "pip", "install", "-q", "python-socketio", "uvicorn", "websockets",
             "uvloop", "redis", "hiredis"],
        ]  # fmt: skip
        script = directory / "rival.py"
        script.write_text(PYTHON_SOCKETIO)
        command = [python, str(script)]
    else:
        if not shutil.which("npm"):
            return "npm is not installed"
        steps = [["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix",
                  str(directory), "socket.io", "@socket.io/redis-adapter", "redis"]]  # fmt: skip
        script = directory / "rival.mjs"
        script.write_text(SOCKET_IO)
        command = ["node", str(script)]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{step[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}"
    return command
