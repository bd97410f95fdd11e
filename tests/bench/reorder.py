"""The reorder buffer alone: frames per second, and cost per frame by number held."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator

from orderer.checkpoint import Checkpoint
from orderer.reorder.limits import Limits
from orderer.reorder.outputs import Batch
from orderer.reorder.reorder import Reorder
from orderer.reorder.timeout import FixedTimeout
from relay.entry import START

FRAMES = 1_000_000
BATCH = 1000


def in_order(_held: int) -> list[int]:
    """Every frame in its place."""
    return list(range(FRAMES))


def straggler(held: int) -> list[int]:
    """One frame comes after the `held` that follow it, over and over."""
    ids: list[int] = []
    for start in range(0, FRAMES, held + 1):
        ids += [*range(start + 1, start + held + 1), start]
    return ids


def comb(held: int) -> list[int]:
    """Every second frame of a stretch comes first, so that `held` frames have a gap each."""
    ids: list[int] = []
    for start in range(0, FRAMES, 2 * held):
        ids += [*range(start + 1, start + 2 * held, 2), *range(start, start + 2 * held, 2)]
    return ids


def window(held: int) -> list[int]:
    """Every frame comes up to 2 · `held` places late; memory is visited at random."""
    shuffled = random.Random(1)
    return sorted(range(FRAMES), key=lambda seq: seq + shuffled.random() * 2 * held)


def cost(ids: list[int]) -> float:
    """Measure µs per frame for frames that come in the order of `ids`."""
    reorder = Reorder(Limits(10**9, 2**63, 10**9, 0), FixedTimeout(math.inf))
    checkpoint: Checkpoint[None] = Checkpoint(START)
    took = 0.0
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        frames = [b'{"id":%d}' % seq for seq in part]  # as many as there are in life
        began = time.perf_counter()
        batch = Batch(b"%d-0" % (start + 1), start, 0.0)
        checkpoint.add(batch, batch.entry, None)
        reorder.take_in(batch, part, frames)
        reorder.expire(batch)
        reorder.take()
        _ = checkpoint.entry
        took += time.perf_counter() - began
    return took / len(ids) * 1e6


def lines(repeats: int) -> Iterator[str]:
    """Measure all patterns, in turn, and describe the medians."""
    # As in the running service: what is in flight forms no cycles, so collect seldom.
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    yield f"{'pattern':<12} {'held':>9}  µs/frame  frames/s   against 10 held"
    patterns: list[tuple[Callable[[int], list[int]], tuple[int, ...]]] = [
        (in_order, (0,)),
        (straggler, (10, 1000, 100_000, 1_000_000)),
        (comb, (10, 1000, 100_000, 1_000_000)),
        (window, (10, 1000, 100_000, 1_000_000)),
    ]
    for pattern, sizes in patterns:
        costs: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(repeats):
            for size in sizes:
                costs[size].append(cost(pattern(size)))
        base = sorted(costs[sizes[0]])[repeats // 2]
        for size in sizes:
            median = sorted(costs[size])[repeats // 2]
            yield (
                f"{pattern.__name__:<12} {size:>9}  {median:8.3f}  {1e6 / median:>10,.0f}"
                f"  {median / base:6.2f}"
            )
    gc.set_threshold(*thresholds)
