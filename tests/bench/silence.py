"""How long after the last frame a gap is given up when a feed falls silent with gaps open.

    python -m tests.bench.silence [--gaps 40] [--timeout 1] [--ttl 3]

A feed sends messages of which some are missing, and then nothing more, once for each gap; what is
measured is the time from the last frame to the ledger's entry, over real processes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.support import streams
from tests.support.servers import Server, binary
from tests.support.stack import Stack
from tests.support.streams import frame
from tests.support.waiting import until


def given_up(server: Server, seq: int) -> bool:
    """Tell whether an id stands in the ledger."""
    return seq in streams.given_up(server.client)


def measure(gaps: int, timeout: float, ttl: float, pause: float) -> list[float]:
    """Open a gap `gaps` times, each followed by silence; returns the seconds until it closes."""
    took = []
    with tempfile.TemporaryDirectory() as directory:
        program = binary("valkey")
        assert program is not None
        server = Server(program, Path(directory))
        stack = Stack(server)
        try:
            feed = stack.feed()
            stack.ingestor(feed.url, LEASE_TTL=ttl)
            until(lambda: feed.connected, "connected")
            orderer = stack.orderer(ORDERER_GAP_TIMEOUT=timeout, ORDERER_FIRST_ID=1, LEASE_TTL=ttl)
            orderer.wait_for("ordering")
            for number in range(gaps):
                seq = 3 * number + 1
                feed.send(frame(seq), frame(seq + 2))
                sent = time.monotonic()
                until(partial(given_up, server, seq + 1), "the gap is given up", 120)
                took.append(time.monotonic() - sent)
                time.sleep(pause)
        finally:
            stack.close()
            server.close()
    return took


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gaps", type=int, default=40)
    parser.add_argument("--timeout", type=float, default=1.0)
    parser.add_argument("--ttl", type=float, default=3.0)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    took = measure(options.gaps, options.timeout, options.ttl, options.pause)
    print(
        f"{len(took)} gaps, time-out {options.timeout:g} s, LEASE_TTL {options.ttl:g} s: "
        f"given up after {min(took):.2f} s, median {statistics.median(took):.2f} s, "
        f"worst {max(took):.2f} s"
    )


if __name__ == "__main__":
    main()
