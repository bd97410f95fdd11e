"""A server that reads each handshake's request, and answers with whatever bytes it is told to."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable


class Handshakes:
    """Takes one connection after the other, for as long as `stay` says."""

    def __init__(
        self, answer: Callable[[bytes], bytes], stay: Callable[[socket.socket], None] | None = None
    ) -> None:
        """Listen; `answer` gets a request's head."""
        self.heads: list[bytes] = []
        self.times: list[float] = []
        self._answer = answer
        self._stay = stay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(4096) or b"\r\n\r\n"
                self.times.append(time.monotonic())
                self.heads.append(head)
                connection.sendall(self._answer(head))
                if self._stay is not None:
                    self._stay(connection)

    def stop(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def accepted(head: bytes) -> bytes:
    """Make the answer that takes a handshake."""
    [key] = re.findall(rb"(?i)sec-websocket-key: (\S+)", head)
    accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
    )
