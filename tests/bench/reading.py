"""Measure what reading frames costs, by the words of feeds: `python -m tests.bench.reading`.

Each figure is the best of several rounds, in µs of CPU for a message, no garbage collected.
The first rows hold the present way, which knows ids at the top of an object only, against
`Reader.numbers` on frames of the same size; the others are the transcripts' frames.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Sequence

import orjson

from relay.feedfile import parse
from relay.feedfile.secrets import Secrets
from relay.frames.reader import Message, Reader
from relay.messages import sequence_numbers
from tests.support.transcripts import NAMES, transcript

ROUNDS = 9
REST = '"text":"hello world, this is a message","price":"104.00","size":"0.35","side":"buy"'


def reader(words: str) -> Reader:
    feed = parse(f'[feed.a]\nurl = "ws://h"\n{words}', "feeds.toml", Secrets({}))["a"]
    return Reader(feed.reading)


def best(work: Callable[[], object], messages: int) -> float:
    """Measure what `work` takes for each of so many messages."""
    times = max(1, 20_000 // messages)
    spent = timeit.repeat(work, timer=time.process_time, number=times, repeat=ROUNDS)
    return min(spent) / times / messages * 1e6


def shaped(text: str) -> list[bytes]:
    return [f"{{{text.replace('@', str(at))},{REST}}}".encode() for at in range(200)]


def main() -> None:
    print("ids alone, 200 frames at once")
    top = shaped('"id":@')
    print(f"  {best(lambda: sequence_numbers(top, 'id'), 200):6.3f}  at the top, the present way")
    for words, text, what in (
        ("", '"id":@', "at the top"),
        ("", '"id":"@"', "at the top, as text"),
        ('id = "data.id"', '"data":{"id":@}', "a level deeper"),
        ('id = "a.b.c.id"', '"a":{"b":{"c":{"id":@}}}', "three levels deeper"),
        ('id = "data.0.id"', '"data":[{"id":@}]', "in an array"),
    ):
        _numbers(reader(words), shaped(text), what)
    print("everything about a message, all of a transcript's frames at once")
    for name in NAMES:
        script = transcript(name)
        reading = Reader(script.feed.reading)
        frames = [data for _, data in script.frames]
        items = reading.read_all(frames)
        count = sum(isinstance(item, Message) for item in items)
        _all(reading, frames, len(items), f"{name}, {count} messages in {len(frames)} frames")
    array = b"[" + b",".join(shaped('"id":@')[:100]) + b"]"
    _all(reader('messages = "[]"'), [array], 100, "an array of 100")
    print(f"  {best(lambda: _anew(array), 100):6.3f}  the same, decoded and written anew")


def _numbers(reading: Reader, frames: Sequence[bytes], what: str) -> None:
    print(f"  {best(lambda: reading.numbers(frames), len(frames)):6.3f}  {what}")


def _all(reading: Reader, frames: Sequence[bytes], items: int, what: str) -> None:
    print(f"  {best(lambda: reading.read_all(frames), items):6.3f}  {what}")


def _anew(array: bytes) -> list[tuple[bytes, int]]:
    return [(orjson.dumps(item), item["id"]) for item in orjson.loads(array)]


if __name__ == "__main__":
    main()
