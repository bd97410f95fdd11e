"""What the stand-in for Redis and a real server are asked, at random."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
COMMIT = (ROOT / "orderer" / "commit.lua").read_text()
LEASE = (ROOT / "chassis" / "lease.lua").read_text()
SMALL_SCRIPTS = (
    "return {1, 2.9, -2.9, 'three', true, false, {4, {5}}, nil, 6}",
    "return redis.call('GET', KEYS[1])",
    "return {redis.call('GET', KEYS[1]) == false, redis.call('TIME')[3] == nil}",
    "return redis.call('SET', KEYS[1], 12.0)",
    "return redis.call('SET', KEYS[1], 1.5).ok",
    "return redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 2)",
    "local r = redis.pcall('INCR', KEYS[1]); if type(r) == 'table' then return r.err end return r",
    "local r = redis.call('INCR', KEYS[1]); return r",
    "redis.call('DEL', KEYS[1]); local r = redis.call('SET', KEYS[1], 'x'); return r",
    "return redis.pcall('HGET', KEYS[1], 'f')",
    "return #redis.call('HMGET', KEYS[1], 'f', 'g', 'h')",
    "return {unpack(ARGV)}",
    "return {unpack(KEYS, 1, 2)}",
    "return tonumber('12') + tonumber('0x10')",
    "return 7 / 2 .. '|' .. 1e15 .. '|' .. 123456789012345678 .. '|' .. 7 % 3",
    "return {err = 'MINE it is'}",
    "return {ok = 'FINE'}",
    "return redis.error_reply('MINE it is')",
    "return redis.status_reply('FINE')",
    "return undefined_name",
    "global = 1",
    "error('raised')",
    "local x = nil; return x.y",
    "return redis.call('EVAL', 'return 1', 0)",
    "return redis.call('NOSUCH')",
    "return redis.call()",
    "return redis.call('GET')",
    "return redis.call('SET', KEYS[1], {})",
    "this is no Lua",
)


class Held:
    """Stand for a word that is known only once the commands before have run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


VALUE, STAND, LAST, LEDGER = map(Held, ("VALUE", "STAND", "LAST", "LEDGER"))
FULL = Held("FULL")
SHA = sha1(SMALL_SCRIPTS[1].encode(), usedforsecurity=False).hexdigest()
Words = tuple[Any, ...]
Execute = Callable[..., Any]

KEYS = {
    kind: (f"{kind}1", f"{kind}1", f"{kind}2")
    for kind in ("string", "hash", "set", "sorted", "stream")
}
LEASES, ORDER, NEXT, ORDERED, GAPS = ("lease", "fence"), "order", "next", "ordered", "gaps"
PRINTS, RAW = "prints", "stream1"
ANY_KEY = st.sampled_from([key for keys in KEYS.values() for key in keys])


def chosen(*strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Choose one of the strategies; unlike in one_of, one that is there twice counts twice."""
    return st.sampled_from(strategies).flatmap(lambda strategy: strategy)


texts = st.sampled_from(["", "x", "10", "-3", "007", "1.5", "9223372036854775807", b"\xff\x00", 5])
fields = st.sampled_from(["f", "g", "h", b"\xfe"])
counts = st.sampled_from([0, 1, 1, 2, 2, 3, 3, 5, 100, -1, "x", 1.5])
good_scores = st.sampled_from([0, 1, 2, 2.5, 3, -1, "1e3"])
scores = chosen(*[good_scores] * 15, st.sampled_from(["nan", "x", " 1", ""]))
lows = st.sampled_from(["-inf", "(-inf", "0", "(1", "1", "2", "(2.5", "(x", "x"])
highs = st.sampled_from(["+inf", "(+inf", "3", "(1", "1", "(2", "2.5", "(x", "x"])
half = st.integers(0, 4)
there = st.sampled_from(["1-1", "2-2", "3-0", "4-1"])  # what the filled stream has
good_ids = chosen(there, st.builds("{}-{}".format, half, half))
bad_ids = st.sampled_from(["x", "1-x", "-1", "1-", "", f"{2**64 - 1}-{2**64 - 1}", f"{2**64}-0"])
ids = chosen(*[good_ids] * 15, half.map(str), half.map("{}-*".format), bad_ids)
more = st.integers(5, 40)
new_ids = chosen(*[st.builds("{}-{}".format, more, half)] * 4, more.map(str),
                 more.map("{}-*".format), ids)  # fmt: skip
low_ids = chosen(
    *[good_ids] * 6, *[st.just("-")] * 4, *[good_ids.map("({}".format)] * 2, half.map(str), ids,
    st.sampled_from(["+", "(-", "(0-0", f"({2**64 - 1}-{2**64 - 1}"]),
)  # fmt: skip
high_ids = chosen(
    *[good_ids] * 6, *[st.just("+")] * 4, *[good_ids.map("({}".format)] * 2, half.map(str), ids,
    st.sampled_from(["-", "(+", "(0-0", f"({2**64 - 1}-{2**64 - 1}"]),
)  # fmt: skip


def on(kind: str) -> st.SearchStrategy[str]:
    """Draw a key of the kind, and now and then one of another."""
    own = st.sampled_from(KEYS[kind])
    return chosen(*[own] * 12, ANY_KEY)


def words(*parts: Any) -> st.SearchStrategy[Words]:
    """Draw a command: a part is a word, a strategy for one, or one for a list of words."""
    strategies = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*strategies).map(_flat)


def _flat(parts: Words) -> Words:
    return tuple(w for part in parts for w in (part if isinstance(part, list) else [part]))


def some(part: st.SearchStrategy[Any], least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(part, min_size=least, max_size=3)


def pairs(
    first: st.SearchStrategy[Any], second: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[Any]]:
    """Draw a few pairs, rarely with a word too many."""
    even = some(st.tuples(first, second)).map(lambda many: [word for two in many for word in two])
    return chosen(*[even] * 20, even.map(lambda flat: [*flat, "more"]))


def maybe(*parts: Any) -> st.SearchStrategy[list[Any]]:
    return st.one_of(st.just([]), words(*parts).map(list))


trims = st.one_of(
    words("MAXLEN", st.sampled_from([[], ["="], ["~"]]), counts).map(list),
    words("MINID", st.sampled_from([[], ["="], ["~"]]), ids).map(list),
)
durations = st.sampled_from([*[1_000_000] * 6, *[2_000_000] * 6, "x"])


@st.composite
def reads(draw: st.DrawFn) -> Words:
    many = draw(st.integers(1, 3))
    keys = [draw(on("stream")) for _ in range(many)]
    after = [draw(chosen(*[ids] * 6, st.just("$"))) for _ in range(many)]
    if draw(st.integers(0, 15)) == 15:
        after.pop()
    options = [
        *draw(maybe("COUNT", counts)),
        *draw(maybe("BLOCK", st.sampled_from([1, 1, 1, -1, "x"]))),
    ]
    return ("XREAD", *options, "STREAMS", *keys, *after)


@st.composite
def commits(draw: st.DrawFn) -> Words:
    """Draw a call of the real script; most are in order, some are fenced, lost or moved."""
    expected = [
        draw(st.sampled_from([right] * 15 + [wrong]))
        for right, wrong in ((VALUE, "9:z"), ("i", "j"), (LAST, "c0"))
    ]
    name = draw(st.sampled_from([f"c{number}" for number in range(9)]))
    raw = draw(st.sampled_from(["3-0", "2-2", "0-0"]))
    moving: list[Any] = [0]
    if draw(st.integers(0, 5)):
        stand: Any = draw(st.sampled_from([*[STAND] * 15, "7:77:7"]))
        moving = [1, "x", stand, draw(st.sampled_from(["1:5:1", "1:6:2", "2::2"]))]
    changed = draw(st.sampled_from([(), ("seen", 12), ("seen", 12, "serial", 5)]))
    last = st.one_of(st.integers(1, 10**19), st.integers(1, 40))
    runs = draw(
        st.lists(st.builds("{}-{}".format, st.sampled_from([1, 1, 1, 2]), last), max_size=3)
    )
    if draw(st.integers(0, 7)):
        runs.sort(key=lambda entry: [int(part) for part in entry.split("-")])
    replaced = draw(st.lists(st.sampled_from(["", LEDGER, "1-1"]), max_size=2))
    tail: list[Any] = [len(changed), *changed, len(runs)]
    for entry in runs:
        values = draw(pairs(fields, texts))
        tail += [0, entry, "1-1", entry, 4, "c", "print", "to", "1:5", len(values), *values]
    tail.append(len(replaced))
    for row in replaced:
        values = draw(pairs(fields, texts))
        tail += [0, row, len(values), *values]
    keys = (LEASES[0], ORDER, NEXT, ORDERED, GAPS, PRINTS)
    length = draw(st.sampled_from([1, 9]))
    return ("EVAL", COMMIT, len(keys), *keys, *expected, name, RAW, raw, length, *moving, *tail)


on_string, on_hash, on_set, on_sorted, on_stream = map(on, KEYS)
begin: Words = ("HSET", ORDER, "incarnation", "i")
started: list[Words] = [begin, ("EVAL", LEASE, 2, *LEASES, "", "a", 1_000_000)]
filled: list[Words] = [
    ("SET", "string1", "41"),
    ("HSET", "hash1", "f", "1", "g", "2"),
    ("SADD", "set1", "x", "10", "-3"),
    ("ZINCRBY", "sorted1", 1, "f"),
    ("ZINCRBY", "sorted1", 2.5, "h"),
    *[("XADD", "stream1", f"{at}-{at % 3}", "f", f"v{at}") for at in (1, 2, 3, 4)],
]
leased = chosen(
    words("EVAL", LEASE, 2, *LEASES, st.sampled_from("ab"), durations),
    words("GETEX", LEASES[0], "PX", durations),
)
scripts = st.sampled_from(SMALL_SCRIPTS)

commands = chosen(
    words("PING", some(texts, 0)),
    words("GET", on_string),
    words("GETEX", on_string, "PX", durations),
    words("SET", on_string, texts, maybe("PX", durations), maybe("nx")),
    words("SET", on_string, texts, some(st.sampled_from(["PX", "NX", 0, -5]), 0)),
    words("DEL", some(ANY_KEY)),
    words("UNLINK", some(ANY_KEY)),
    words("EXISTS", some(ANY_KEY)),
    words("INCR", on_string),
    words(
        "PEXPIRE", chosen(on_string, ANY_KEY), st.one_of(durations, st.sampled_from([0, -1, 2**63]))
    ),
    words("PTTL", chosen(on_string, ANY_KEY)),
    words("SADD", on_set, some(texts, 0)),
    words("SREM", on_set, some(texts)),
    words("SMEMBERS", on_set),
    words("SCARD", on_set),
    words("HSET", on_hash, pairs(fields, texts)),
    words("HSETNX", on_hash, fields, texts),
    words("HGET", on_hash, fields),
    words("HMGET", on_hash, some(fields)),
    words("HGETALL", on_hash),
    words("HKEYS", on_hash),
    words("HEXISTS", on_hash, fields),
    words("HDEL", on_hash, some(fields)),
    words("XADD", on_stream, new_ids, pairs(fields, texts)),
    words("XADD", on_stream, new_ids, pairs(fields, texts)),
    words("XADD", on_stream, trims, new_ids, pairs(fields, texts)),
    words("XLEN", on_stream),
    words("XRANGE", on_stream, low_ids, high_ids, maybe("COUNT", counts)),
    words("XRANGE", on_stream, "-", "+", maybe("COUNT", counts)),
    words("XREVRANGE", on_stream, high_ids, low_ids, maybe("count", counts)),
    words("XREVRANGE", on_stream, "+", "-", maybe("COUNT", counts)),
    reads(),
    words("XTRIM", on_stream, trims),
    words("XDEL", on_stream, some(ids)),
    words("ZINCRBY", on_sorted, good_scores, fields),
    words("ZREM", on_sorted, some(fields)),
    words("ZRANGE", on_sorted, 0, -1, "WITHSCORES"),
    words("EVAL", scripts, 1, st.one_of([on(kind) for kind in KEYS]), some(texts, 0)),
    words("EVAL", scripts, st.sampled_from([0, 2, -1, "x"]), some(ANY_KEY, 0)),
    words("EVALSHA", st.sampled_from([SHA, SHA, SHA.upper(), "0" * 40]), 1, on_string),
    words("SCRIPT", "LOAD", scripts),
    words("SCRIPT", "LOAD", SMALL_SCRIPTS[1]),
    words("SCRIPT LOAD", scripts),
    st.sampled_from([("GET",), ("NOSUCH", "x"), ("XADD", "stream1"), ("HGETALL", "a", "b")]),
    st.sampled_from([(FULL, 1), (FULL, 0), (FULL, 0), (FULL, 0), (FULL, 0), (FULL, 0)]),
)
services = chosen(
    st.just(begin),
    leased,
    leased,
    *[commits()] * 8,
    words("XRANGE", ORDERED, "-", "+"),
    words("XRANGE", GAPS, "-", "+"),
    words("XRANGE", PRINTS, "-", "+"),
    words("XRANGE", RAW, "-", "+"),
    words("HGETALL", ORDER),
    words("HGETALL", NEXT),
    words("PTTL", LEASES[0]),
    st.just(("DEL", LEASES[0])),
    st.sampled_from([(FULL, 1), (FULL, 0), (FULL, 0), (FULL, 0)]),
)
