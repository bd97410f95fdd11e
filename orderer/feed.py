"""Order one feed: read its raw frames, reorder them, publish what is in order."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby
from typing import Any

from chassis.lease import Lease, lease_key
from chassis.logs import Log
from chassis.redis import BLOCK_MS, Link, Unavailable, transient
from relay import keys
from relay.messages import Rejected, sequence_number
from relay.reading import ReadSize

from .checkpoint import position, since
from .feedclock import FeedClock
from .journal import Journal, Lost, State, Superseded, now_us
from .lateness import FixedTimeout, LearnedTimeout
from .metrics import FeedMetrics
from .reorder import Reorder
from .runs import Batch, Epoch, Gap, Output, Run
from .settings import Settings

READ_FRAMES = 4000
"""Frames to read at a time, roughly."""

CAPACITY_BYTES = 256 * 1024 * 1024
"""Bytes of held messages at which the oldest gap is given up, whatever their number."""

LEAST_FAR = 1000
"""Ids; however small the capacity, a frame no farther ahead than this is no stray."""

PULSE = 0.05
"""Seconds by which a lease must have grown to count as renewed."""

NO_SUCH_KEY = -2
NO_EXPIRY = -1
"""What PTTL answers instead of a time."""

TRIM_EVERY = 0.2
"""Seconds between trimmings of the input."""

TELL_EVERY = 1.0
"""Seconds between notes on the state in memory."""

UNNAMED = b"?"
"""Stands for the line and the connection of an entry that does not name them."""

PARK_AT_ONCE = 100
"""Rejected frames kept for inspection of any one read; all are counted."""


class Feed:
    """The ordering of one feed, from the checkpoint on."""

    def __init__(self, link: Link, feed: str, lease: Lease, settings: Settings, log: Log) -> None:
        self.feed = feed
        self.journal = Journal(link, feed, lease)
        self.metrics = FeedMetrics(feed)
        self.settings = settings
        self._link = link
        self._log = log
        self._park: list[tuple[str, bytes, bytes]] = []
        self._counted = [0, 0, 0, 0]
        self._trimmed = self._told = 0.0
        self._behind = False
        self._pulses: dict[str, tuple[float, float]] = {}
        self._helping = ReadSize(READ_FRAMES)

    # From start to stop --------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Order until `stop` or until another orderer takes over."""
        try:
            await self.load()
            while not stop.is_set():
                await self.step()
        except Lost:
            # The lease's next holder, most likely this very orderer, begins anew.
            self.metrics.data_loss.inc()
            self._log.error("Redis has lost the numbering", feed=self.feed)
        except Superseded as error:
            self._log.warning("superseded", feed=self.feed, verdict=str(error))
        except Unavailable:
            self._log.warning("stopped without Redis; all is in the checkpoint", feed=self.feed)
        finally:
            self.metrics.held.set(0)
            self.metrics.open_gaps.set(0)
            self.metrics.oldest_gap.set(0)
            self.metrics.paused.set(0)
            self.metrics.lag.set(0)
            self.metrics.lines.set(0)
            self.metrics.gap_timeout.set(0)

    async def load(self) -> None:
        """Resume from the checkpoint."""
        state: State = await self._link.patiently(self.journal.load)
        settings = self.settings
        self.timeout = (
            LearnedTimeout()
            if settings.gap_timeout == "auto"
            else FixedTimeout(settings.gap_timeout)  # type: ignore[arg-type] # "auto" is gone
        )
        self.reorder = Reorder(
            timeout=self.timeout,
            capacity=settings.capacity,
            capacity_bytes=CAPACITY_BYTES,
            far=max(settings.capacity, LEAST_FAR),
            first_id=settings.first_id,
            epoch=state.epoch,
            next=state.next,
            settled=state.raw,
            begun=state.begun,
            given_up=state.gaps,
        )
        self.metrics.capacity.set(settings.capacity)
        self.clock = FeedClock(state.lines)
        self.cursor = state.raw
        self.seen = state.seen
        self._begun = state.begun
        self._replaying = True
        self._checkpoint = (state.raw, state.seen)
        self._connections: dict[str, str] = {}
        self._log.info(
            "ordering", feed=self.feed, epoch=state.epoch, next=state.next, raw=state.raw.decode()
        )

    async def step(self) -> None:
        """Read what there is, or wait a moment for it, and publish what is in order."""
        if self.reorder.full:
            self.metrics.paused.set(1)
            await asyncio.sleep(0.2)
            await self._idle()
        else:
            self.metrics.paused.set(0)
            entries = await self._read()
            self._behind = len(entries) >= self._helping.entries
            if entries:
                self._helping.learn(entries)
                for entry, values in entries:
                    await self.take_in(entry, values)
            else:
                await self._idle()
        await self.publish()
        await self._housekeeping()

    async def catch_up(self, hole: tuple[int, int | None] | None = None) -> None:
        """Read all that the input holds now, publishing nothing yet.

        With `hole`, an epoch and a `next`, stop where the buffer is full and waits there.
        """
        while entries := await self._read(wait=False):
            for entry, values in entries:
                await self.take_in(entry, values)
                if self.reorder.full and (self.reorder.epoch, self.reorder.next) == hole:
                    return

    # Reading -------------------------------------------------------------------------------

    async def _read(self, *, wait: bool = True) -> list[tuple[bytes, list[bytes]]]:
        """Read the next entries of the input; wait until the next deadline at most."""
        block: int | None = BLOCK_MS if wait else None
        deadline = self.reorder.deadline
        if block is not None and deadline is not None and self.clock.running:
            block = max(1, min(block, math.ceil((deadline - self.clock.now) * 1000)))
        try:
            reply: Any = await self._link.reader.xread(
                {keys.raw(self.feed): self.cursor}, count=self._helping.entries, block=block
            )
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)
            self.clock.interrupted()
            await asyncio.sleep(0.1)
            return []
        return reply[0][1] if reply else []

    async def take_in(self, entry: bytes, values: list[bytes]) -> None:
        """Feed an entry of the input to the buffer."""
        self.cursor = entry
        now = self.clock.entry(entry, time.monotonic())
        received, line, connection, event, frames = _unpack(entry, values)
        frames_came = bool(frames)
        replayed = self._replaying and position(entry) <= position(self.seen)
        self._replaying = replayed
        if self._begun:
            ours = since(self._begun, entry, frames)
            if ours is frames:
                self._begun = b""  # from here on all are
            frames = ours
        batch = Batch(entry, received, now, replayed)
        reorder = self.reorder
        reorder.begin(batch)
        if event:
            try:
                self._line_changed(line.decode(), connection.decode(), event)
            except UnicodeDecodeError:
                self._reject("json", UNNAMED, b" ".join(values), batch)  # not from an ingestor
        elif frames_came:
            self._line_proved(line, connection)
        accept = reorder.accept
        field = self.settings.id_field
        for frame in frames:
            try:
                seq = sequence_number(frame, field)
            except Rejected as rejected:
                self._reject(rejected.reason, line, frame, batch)
                continue
            if accept(seq, frame, batch):
                await self._judge()
        if not replayed:
            self.seen = entry
        reorder.settle(now)

    def _line_changed(self, line: str, connection: str, event: bytes) -> None:
        """Follow the lines; an older connection's end does not hide a newer one."""
        if event in (keys.CONNECTED, keys.RESUMED):
            self._connections[line] = connection
            self.clock.connected(line)
            if event == keys.CONNECTED:
                self.reorder.reconnected(alone=self.clock.lines == {line})
        elif self._connections.get(line, connection) == connection:
            self.clock.disconnected(line)
            if event == keys.DISCONNECTED and not self.clock.lines:
                self.reorder.disconnected()

    def _line_proved(self, line: bytes, connection: bytes) -> None:
        """Believe frames that their connection lives, though its line was presumed dead.

        While another connection of the line is known to live, it is the newer one: these frames
        come after its beginning.
        """
        # As long as nobody has told about any line, time counts without.
        if not self.clock.told or connection == UNNAMED:
            return
        try:
            name, alive = line.decode(), connection.decode()
        except UnicodeDecodeError:
            return
        if name not in self.clock.lines or name not in self._connections:
            self._connections[name] = alive
            self.clock.connected(name)

    def _reject(self, reason: str, line: bytes, frame: bytes, batch: Batch) -> None:
        self.metrics.fates["rejected"].inc()
        self.metrics.rejected[reason].inc()
        if not batch.replayed and len(self._park) < PARK_AT_ONCE:
            self._park.append((reason, line, frame))

    async def _judge(self) -> None:
        """Find out whether ids that have come again are a replay or a new numbering."""
        # What has been released but not yet published is part of the output, too.
        await self.publish()
        reorder = self.reorder
        epoch, ids = reorder.epoch, reorder.echoes
        known = await self._link.patiently(lambda: self.journal.recall(epoch, ids))
        if reorder.judge(known):
            self.metrics.epochs.inc()
            self._log.warning("the feed numbers anew", feed=self.feed, epoch=reorder.epoch)

    async def _idle(self) -> None:
        """Let the clock run on in silence, and look whether the feed and Redis still stand."""
        if not self._link.up:
            self.clock.interrupted()
        local = time.monotonic()
        deadline = self.reorder.deadline
        if deadline is None or self.clock.after(local) < deadline or await self._alive(local):
            self._pulses.clear()
            self.reorder.settle(self.clock.idle(local))
        else:
            self.clock.skip(local)
        if time.monotonic() - self._told >= TELL_EVERY and await self._link.patiently(
            self.journal.lost
        ):
            raise Lost

    async def _alive(self, local: float) -> bool:
        """Make sure, before giving up in silence, that someone listens to the feed.

        An ingestor that was killed could not say that its line is disconnected. Its lease
        tells: whoever lives renews it again and again.
        """
        renewed = not self.clock.lines
        for line in sorted(self.clock.lines):
            lease = lease_key(self.feed, f"line:{line}")
            left = await self._link.patiently(partial(self._link.client.pttl, lease))
            if left == NO_SUCH_KEY:
                self._log.warning("line without an ingestor", feed=self.feed, line=line)
                self.clock.disconnected(line)
                continue
            before, at = self._pulses.setdefault(line, (left, local))
            renewed |= left == NO_EXPIRY or left > before - 1000 * (local - at - PULSE)
        return renewed and self.clock.running

    # Publishing ----------------------------------------------------------------------------

    async def publish(self) -> None:
        """Commit what came out of the buffer, with the checkpoint."""
        reorder = self.reorder
        for frame, batch in reorder.refused:
            self._reject("stray", b"", frame, batch)
        reorder.refused.clear()
        outputs = reorder.take()
        checkpoint = (reorder.checkpoint, self.seen)
        if not outputs and not reorder.amended and checkpoint == self._checkpoint:
            return
        amended = list(reorder.amended)
        reorder.amended.clear()
        closed = now_us()
        for item in [*outputs, *amended]:
            if isinstance(item, Gap) and not item.closed:
                item.closed = closed
        began = time.perf_counter()
        await self.journal.commit(
            outputs,
            amended,
            raw=checkpoint[0],
            seen=checkpoint[1],
            lines=self.clock.lines if self.clock.told else None,
            before=self._checkpoint,
        )
        self.metrics.commit.observe(time.perf_counter() - began)
        self._checkpoint = checkpoint
        self._observe(outputs)

    def _observe(self, outputs: list[Output]) -> None:
        now = now_us()
        metrics = self.metrics
        released = 0
        for item in outputs:
            if isinstance(item, Run):
                released += len(item.frames)
                metrics.run.observe(len(item.frames))
                # A frame is free to go when the last of those before it has come.
                freed = 0
                for batch, group in groupby(item.batches):
                    count = len(list(group))
                    freed = max(freed, batch.time)
                    metrics.delay.observe(max(0, now - batch.time) / 1e6, count)
                    if batch.time < freed:
                        metrics.hold.observe((freed - batch.time) / 1e6, count)
            elif isinstance(item, Gap):
                metrics.gaps[item.cause].inc()
                metrics.missing[item.cause].inc(item.last - item.first + 1)
                self._log.warning(
                    "gap given up",
                    feed=self.feed, epoch=item.epoch, first=item.first, last=item.last,
                    cause=item.cause.value,
                )  # fmt: skip
            elif isinstance(item, Epoch):
                self._log.info("epoch begun", feed=self.feed, epoch=item.epoch)
        if released:
            metrics.fates["released"].inc(released)
            metrics.progress.set_to_current_time()

    # Keeping house -------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        """Update the gauges, trim the input, park rejected frames; nothing here is urgent."""
        now = time.monotonic()
        if now - self._trimmed < TRIM_EVERY and not self._park:
            return
        self._trimmed = now
        self._update_gauges()
        await self._attempt(lambda: self.journal.trim(self._checkpoint[0]))
        await self.park()
        if now - self._told >= TELL_EVERY:
            self._told = now
            await self._attempt(lambda: self.journal.tell(self.status()))

    async def park(self) -> None:
        """Keep rejected frames for inspection."""
        if self._park:
            parked, self._park = self._park, []
            await self._attempt(lambda: self.journal.park(parked))

    async def _attempt(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception as error:
            reason = transient(error)
            if reason is None:
                raise
            self._link.failed(error, reason)

    def _update_gauges(self) -> None:
        metrics, reorder, timeout = self.metrics, self.reorder, self.timeout
        counters = (
            (metrics.fates["duplicate"], reorder.duplicates),
            (metrics.fates["late"], reorder.late),
            (metrics.in_time, timeout.in_time),
            (metrics.too_late, timeout.too_late),
        )
        for at, (counter, value) in enumerate(counters):
            counter.inc(value - self._counted[at])
            self._counted[at] = value
        metrics.held.set(reorder.held)
        metrics.gap_timeout.set(math.inf if timeout.seconds is None else timeout.seconds)
        metrics.next.set(reorder.next or 0)
        metrics.lines.set(len(self.clock.lines))
        age = time.time() - int(self.cursor.partition(b"-")[0]) / 1000
        metrics.lag.set(age if self._behind else 0)

    def status(self) -> dict[str, Any]:
        """Tell what is in memory, for `python -m orderer status`."""
        reorder, timeout = self.reorder, self.timeout
        now = self.clock.now
        gaps = reorder.gaps
        self.metrics.open_gaps.set(len(gaps))
        self.metrics.oldest_gap.set(gaps[0][3] / 1e6 if gaps else 0)
        return {
            "time": now_us(),
            "held": reorder.held,
            "full": reorder.full,
            "lines": sorted(self.clock.lines),
            "timeout": timeout.seconds,
            "caught": timeout.caught,
            "gaps": [
                {"first": first, "last": last, "age": round(now - opened, 3)}
                for first, last, opened, _ in gaps[:20]
            ],
            "open_gaps": len(gaps),
        }


def _unpack(entry: bytes, values: list[bytes]) -> tuple[int, bytes, bytes, bytes, list[bytes]]:
    """Take an entry of the input apart: time (µs), line, connection, event, frames."""
    if values[0:6:2] == [keys.T, keys.LINE, keys.CONN] and len(values) > 6 and _is_time(values[1]):
        if values[6] == keys.EVENT:
            return int(values[1]), values[3], values[5], values[7], []
        return int(values[1]), values[3], values[5], b"", values[7::2]
    # Somebody else wrote it: take what can be understood.
    fields = dict(zip(values[0::2], values[1::2], strict=True))
    frames = [value for field, value in fields.items() if field.isdigit()]
    time_field = fields.get(keys.T, b"")
    received = int(time_field if _is_time(time_field) else entry.partition(b"-")[0] + b"000")
    line, connection = fields.get(keys.LINE, UNNAMED), fields.get(keys.CONN, UNNAMED)
    return received, line, connection, fields.get(keys.EVENT, b""), frames


def _is_time(field: bytes) -> bool:
    return field.isdigit() and len(field) <= 18
