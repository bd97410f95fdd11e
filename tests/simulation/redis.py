"""A stand-in for Redis in one process: what the services use of it, at a few microseconds each.

Replies have the shape that they have on the wire (RESP2), before redis-py makes anything of them,
and errors the texts of Redis; `test_redis.py` holds both against a real server. Known differences:
`~` trims exactly, where Redis leaves up to a node of entries more; hashes and sets are given in
the order in which they were filled; blocking reads do not block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import lua, stream
from .memory import info, usage
from .stream import Stream, trimming
from .values import Command, Hash, Members, Scores, Snapshot, V, Value
from .wire import (
    FULL,
    OK,
    SYNTAX,
    WRONGTYPE,
    Status,
    Word,
    encode,
    error,
    integer,
    key_count,
    score,
)  # fmt: skip

_MOST_INTEGER = (1 << 63) - 1


class Server:
    """Answer commands. `time()` is the clock that keys expire by, `wall()` names stream entries.

    While `full` is set, commands that need memory are refused.
    """

    def __init__(self, time: Callable[[], float], wall: Callable[[], float]) -> None:
        self.full = False
        self._time = time
        self._wall = wall
        self._values: dict[bytes, Value] = {}
        self._deadlines: dict[bytes, int] = {}  # ms of time()
        self._scripts: set[str] = set()
        self._script_wrote = False
        self._allowed: set[str] = set()  # scripts that may write when it is full
        self._generation = 1

    # -- Calling

    def execute(self, *words: Word) -> Any:
        """Run one command and give its reply; raise ResponseError for an error reply.

        The reply is the caller's own to change.
        """
        command = _KNOWN.get(words[0])
        if command is None:
            command = _find(words[0])
            if command is None:
                parts = encode(words[0]).split()
                if len(parts) > 1:  # redis-py splits names too
                    return self.execute(*parts, *words[1:])
                name, *args = [encode(word).decode() for word in words]
                shown = " ".join([f"'{arg}'" for arg in args])
                raise error(f"ERR unknown command '{name}', with args beginning with: {shown} ")
        argv = [word if type(word) is bytes else encode(word) for word in words]
        if not command.fits(argv):
            raise error(f"ERR wrong number of arguments for '{command.name}' command")
        if self.full and command.grows:
            raise error(FULL)
        return command.run(self, argv)

    def _execute_in_script(self, words: list[bytes]) -> Any:
        command = _KNOWN.get(words[0]) or _find(words[0])
        if command is None:
            raise error("ERR Unknown Redis command called from script")
        if not command.in_scripts:
            raise error("ERR This Redis command is not allowed from script")
        if not command.fits(words):
            raise error("ERR Wrong number of args calling Redis command from script")
        if command.writes:
            if self.full and command.grows and not self._script_wrote:
                raise error(FULL)
            self._script_wrote = True
        return command.run(self, words)

    # -- Faults

    def snapshot(self) -> Snapshot:
        """Keep what the server holds now. Nothing is copied but what is written to afterwards."""
        self._generation += 1
        return Snapshot(self._values.copy(), self._deadlines.copy())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, as a server that lost its last writes. Scripts stay loaded."""
        self._generation += 1
        self._values = snapshot.values.copy()
        self._deadlines = snapshot.deadlines.copy()

    def forget_scripts(self) -> None:
        """Forget the scripts that were loaded, as a server that restarts does."""
        self._scripts.clear()

    # -- Keys

    def _now(self) -> int:
        # A clock that shows 0.3 is at 300 ms, which 0.3 * 1000 need not be.
        return int(self._time() * 1000 + 1e-6)

    def _get(self, key: bytes) -> Value | None:
        if key in self._deadlines and self._now() > self._deadlines[key]:
            self._remove(key)
        return self._values.get(key)

    def _remove(self, key: bytes) -> None:
        del self._values[key]
        self._deadlines.pop(key, None)

    def _string(self, key: bytes) -> bytes | None:
        value = self._get(key)
        if value is None or isinstance(value, bytes):
            return value
        raise error(WRONGTYPE)

    def _read(self, key: bytes, kind: type[V]) -> V | None:
        value = self._get(key)
        if value is None or isinstance(value, kind):
            return value
        raise error(WRONGTYPE)

    def _change(self, key: bytes, kind: type[V]) -> V | None:
        """Give a value to write to, if there is one; what a snapshot shares is copied first."""
        value = self._read(key, kind)
        if value is None or value.made == self._generation:
            return value
        return self._keep(key, value.copy())

    def _make(self, key: bytes, kind: type[V]) -> V:
        """Give a value to write to, a new one if there is none."""
        value = self._change(key, kind)
        return self._keep(key, kind()) if value is None else value

    def _keep(self, key: bytes, value: V) -> V:
        value.made = self._generation
        assert isinstance(value, Hash | Members | Scores | Stream)
        self._values[key] = value
        return value

    def _ping(self, words: list[bytes]) -> bytes:
        return words[1] if len(words) > 1 else Status(b"PONG")

    def _clock(self, _words: list[bytes]) -> list[bytes]:
        microseconds = round(self._wall() * 1_000_000)
        return [b"%d" % part for part in divmod(microseconds, 1_000_000)]

    def _del(self, words: list[bytes]) -> int:
        removed = 0
        for key in words[1:]:
            if self._get(key) is not None:
                self._remove(key)
                removed += 1
        return removed

    def _exists(self, words: list[bytes]) -> int:
        return sum(self._get(key) is not None for key in words[1:])

    def _pexpire(self, words: list[bytes]) -> int:
        key, milliseconds = words[1], integer(words[2])
        now = self._now()
        if abs(now + milliseconds) > _MOST_INTEGER:
            raise error("ERR invalid expire time in 'pexpire' command")
        if self._get(key) is None:
            return 0
        if milliseconds <= 0:
            self._remove(key)
        else:
            self._deadlines[key] = now + milliseconds
        return 1

    def _pttl(self, words: list[bytes]) -> int:
        key = words[1]
        if self._get(key) is None:
            return -2
        deadline = self._deadlines.get(key)
        return -1 if deadline is None else deadline - self._now()

    # -- Strings

    def _getstring(self, words: list[bytes]) -> bytes | None:
        return self._string(words[1])

    def _set(self, words: list[bytes]) -> bytes | None:
        key, value = words[1], words[2]
        only_new, milliseconds = False, None
        options = iter(words[3:])
        for option in options:
            match option.upper():
                case b"NX":
                    only_new = True
                case b"PX" if milliseconds is None:
                    milliseconds = next(options, None)
                    if milliseconds is None:
                        raise error(SYNTAX)
                case _:
                    raise error(SYNTAX)
        deadline = None
        if milliseconds is not None:
            duration = integer(milliseconds)
            deadline = self._now() + duration
            if duration <= 0 or deadline > _MOST_INTEGER:
                raise error("ERR invalid expire time in 'set' command")
        if only_new and self._get(key) is not None:
            return None
        self._values[key] = value
        if deadline is None:
            self._deadlines.pop(key, None)
        else:
            self._deadlines[key] = deadline
        return OK

    def _incr(self, words: list[bytes]) -> int:
        there = self._string(words[1])
        value = 0 if there is None else integer(there)
        if value == _MOST_INTEGER:
            raise error("ERR increment or decrement would overflow")
        self._values[words[1]] = b"%d" % (value + 1)
        return value + 1

    # -- Sets

    def _sadd(self, words: list[bytes]) -> int:
        members = self._make(words[1], Members)
        before = len(members)
        for member in words[2:]:
            members[member] = None
        return len(members) - before

    def _srem(self, words: list[bytes]) -> int:
        return self._without(words, Members, lambda members, word: members.pop(word, 0) is None)

    def _smembers(self, words: list[bytes]) -> list[bytes]:
        return list(self._read(words[1], Members) or ())

    def _without(self, words: list[bytes], kind: type[V], drop: Callable[[V, bytes], bool]) -> int:
        """Drop elements of a value and, with its last one, the key."""
        value = self._change(words[1], kind)
        if value is None:
            return 0
        removed = sum([drop(value, word) for word in words[2:]])
        if not value:
            self._remove(words[1])
        return removed

    # -- Hashes

    def _hset(self, words: list[bytes]) -> int:
        if len(words) % 2:
            raise error("ERR wrong number of arguments for 'hset' command")
        fields = self._make(words[1], Hash)
        before = len(fields)
        for at in range(2, len(words), 2):
            fields[words[at]] = words[at + 1]
        return len(fields) - before

    def _hsetnx(self, words: list[bytes]) -> int:
        _, key, field, value = words
        there = self._read(key, Hash)
        if there is not None and field in there:
            return 0
        self._make(key, Hash)[field] = value
        return 1

    def _hget(self, words: list[bytes]) -> bytes | None:
        fields = self._read(words[1], Hash)
        return None if fields is None else fields.get(words[2])

    def _hmget(self, words: list[bytes]) -> list[bytes | None]:
        fields = self._read(words[1], Hash)
        if fields is None:
            return [None] * (len(words) - 2)
        return [fields.get(word) for word in words[2:]]

    def _hgetall(self, words: list[bytes]) -> list[bytes]:
        fields = self._read(words[1], Hash)
        return [] if fields is None else [word for pair in fields.items() for word in pair]

    def _hkeys(self, words: list[bytes]) -> list[bytes]:
        return self._hgetall(words)[0::2]

    def _hexists(self, words: list[bytes]) -> int:
        return int(self._hget(words) is not None)

    def _hdel(self, words: list[bytes]) -> int:
        return self._without(words, Hash, lambda fields, word: fields.pop(word, None) is not None)

    # -- Sorted sets

    def _zincrby(self, words: list[bytes]) -> bytes:
        step = score(words[2])
        scores = self._make(words[1], Scores)
        value = scores.get(words[3], 0.0) + step
        scores.place(words[3], value)
        return b"%.17g" % value

    def _zrem(self, words: list[bytes]) -> int:
        return self._without(words, Scores, Scores.drop)

    def _zrange(self, words: list[bytes]) -> list[bytes]:
        if [word.upper() for word in words[2:]] != [b"0", b"-1", b"WITHSCORES"]:
            raise error(SYNTAX)
        scores = self._read(words[1], Scores)
        order = scores.order if scores is not None else []
        return [word for value, member in order for word in (member, b"%.17g" % value)]

    # -- Streams

    def _xadd(self, words: list[bytes]) -> bytes:
        trim, at = trimming(words, in_xadd=True)
        word = words[at] if at < len(words) else b"*"
        milliseconds = entry = None
        if word == b"*":
            pass
        elif word[-2:] == b"-*":
            milliseconds = stream.parse(word[:-2]) >> 64
        else:
            entry = stream.parse(word)
        if len(words) - at < 3 or (len(words) - at) % 2 == 0:
            raise error("ERR wrong number of arguments for 'xadd' command")
        if entry == 0:
            raise error("ERR The ID specified in XADD must be greater than 0-0")
        entries = self._make(words[1], Stream)
        if entry is None:
            if milliseconds is None:
                entry = entries.next_id(int(self._wall() * 1000 + 1e-3))
            else:
                entry = entries.next_sequence(milliseconds)
        name = entries.add(entry, words[at + 1 :])
        if trim is not None:
            trim(entries)
        return name

    def _xlen(self, words: list[bytes]) -> int:
        return len(self._read(words[1], Stream) or ())

    def _xrange(self, words: list[bytes]) -> list[list[object]] | None:
        return self._range(words, words[2], words[3], reverse=False)

    def _xrevrange(self, words: list[bytes]) -> list[list[object]] | None:
        return self._range(words, words[3], words[2], reverse=True)

    def _range(
        self, words: list[bytes], low: bytes, high: bytes, *, reverse: bool
    ) -> list[list[object]] | None:
        begin, end = stream.parse_low(low), stream.parse_high(high)
        count = None
        if len(words) > 4:
            if len(words) != 6 or words[4].upper() != b"COUNT":
                raise error(SYNTAX)
            count = max(integer(words[5]), 0)
        entries = self._read(words[1], Stream)
        if entries is None:
            return []
        return None if count == 0 else entries.range(begin, end, count, reverse)

    def _xread(self, words: list[bytes]) -> list[list[object]] | None:
        count, at = None, 1
        while at < len(words) and (option := words[at].upper()) != b"STREAMS":
            if option not in (b"COUNT", b"BLOCK") or at + 1 >= len(words):
                raise error(SYNTAX)
            if option == b"COUNT":
                count = max(integer(words[at + 1]), 0) or None
            elif integer(words[at + 1], "ERR timeout is not an integer or out of range") < 0:
                raise error("ERR timeout is negative")
            at += 2
        keys = words[at + 1 :]
        if at >= len(words) or not keys:
            raise error(SYNTAX)
        if len(keys) % 2:
            raise error(
                "ERR Unbalanced 'xread' list of streams: "
                "for each stream key an ID or '$' must be specified."
            )
        half = len(keys) // 2
        wanted: list[tuple[bytes, Stream | None, int]] = []
        for key, word in zip(keys[:half], keys[half:], strict=True):
            entries = self._read(key, Stream)
            after = (0 if entries is None else entries.last) if word == b"$" else stream.parse(word)
            wanted.append((key, entries, after))
        found: list[list[object]] = []
        for key, entries, after in wanted:
            if entries is not None and after < entries.last:
                items = entries.range(after + 1, stream.MOST, count, reverse=False)
                if items:
                    found.append([key, items])
        return found or None

    def _xtrim(self, words: list[bytes]) -> int:
        trim, _ = trimming(words, in_xadd=False)
        entries = self._change(words[1], Stream)
        return 0 if trim is None or entries is None else trim(entries)

    def _xdel(self, words: list[bytes]) -> int:
        entries = self._change(words[1], Stream)
        if entries is None:
            return 0
        return sum([entries.delete(each) for each in [stream.parse(word) for word in words[2:]]])

    # -- Scripts

    def _script(self, words: list[bytes]) -> bytes:
        if words[1].upper() != b"LOAD" or len(words) != 3:
            raise error(f"ERR unknown subcommand '{words[1].decode()}'. Try SCRIPT HELP.")
        return self._load(words[2]).encode()

    def _load(self, source: bytes) -> str:
        sha = lua.runtime().compile(source)
        if source.startswith(b"#!lua flags=allow-oom\n"):
            self._allowed.add(sha)
        self._scripts.add(sha)
        return sha

    def _eval(self, words: list[bytes]) -> Any:
        count = key_count(words)
        return self._run(self._load(words[1]), count, words)

    def _evalsha(self, words: list[bytes]) -> Any:
        count = key_count(words)
        sha = words[1].decode().lower()
        if sha not in self._scripts:
            raise error("NOSCRIPT No matching script. Please use EVAL.")
        return self._run(sha, count, words)

    def _run(self, sha: str, count: int, words: list[bytes]) -> Any:
        self._script_wrote = sha in self._allowed
        keys, argv = words[3 : 3 + count], words[3 + count :]
        return lua.runtime().run(sha, keys, argv, self._execute_in_script)


# Name: function, fewest and most words with the name itself, and whether it (w)rites, (m)ay need
# more memory, and is (n)ot for scripts.
_TABLE: dict[str, tuple[Callable[[Server, list[bytes]], Any], int, int | None, str]] = {
    "ping": (Server._ping, 1, 2, ""),
    "time": (Server._clock, 1, 1, ""),
    "get": (Server._getstring, 2, 2, ""),
    "getex": (lambda s, w: (s._string(w[1]), s._pexpire([*w[:2], w[3]]))[0], 4, 4, "w"),
    "set": (Server._set, 3, None, "wm"),
    "del": (Server._del, 2, None, "w"),
    "unlink": (Server._del, 2, None, "w"),
    "exists": (Server._exists, 2, None, ""),
    "incr": (Server._incr, 2, 2, "wm"),
    "pexpire": (Server._pexpire, 3, 3, "w"),
    "pttl": (Server._pttl, 2, 2, ""),
    "sadd": (Server._sadd, 3, None, "wm"),
    "srem": (Server._srem, 3, None, "w"),
    "info": (lambda _, words: info(words), 1, None, "n"),
    "memory": (lambda server, words: usage(server._exists(words[2:3]) > 0, words), 3, None, "n"),
    "scard": (lambda server, words: len(server._smembers(words)), 2, 2, ""),
    "smembers": (Server._smembers, 2, 2, ""),
    "hset": (Server._hset, 4, None, "wm"),
    "hsetnx": (Server._hsetnx, 4, 4, "wm"),
    "hget": (Server._hget, 3, 3, ""),
    "hmget": (Server._hmget, 3, None, ""),
    "hgetall": (Server._hgetall, 2, 2, ""),
    "hkeys": (Server._hkeys, 2, 2, ""),
    "hexists": (Server._hexists, 3, 3, ""),
    "hdel": (Server._hdel, 3, None, "w"),
    "xadd": (Server._xadd, 5, None, "wm"),
    "xlen": (Server._xlen, 2, 2, ""),
    "xrange": (Server._xrange, 4, None, ""),
    "xrevrange": (Server._xrevrange, 4, None, ""),
    "xread": (Server._xread, 4, None, ""),
    "xtrim": (Server._xtrim, 4, None, "w"),
    "xdel": (Server._xdel, 3, None, "w"),
    "zincrby": (Server._zincrby, 4, 4, "wm"),
    "zrem": (Server._zrem, 3, None, "w"),
    "zrange": (Server._zrange, 4, None, ""),
    "eval": (Server._eval, 3, None, "n"),
    "evalsha": (Server._evalsha, 3, None, "n"),
    "script": (Server._script, 2, None, "n"),
}

_COMMANDS = {
    name.encode(): Command(run, name, least, most, "m" in flags, "w" in flags, "n" not in flags)
    for name, (run, least, most, flags) in _TABLE.items()
}

_KNOWN: dict[Word, Command] = {}
"""The commands by their names as callers spell them."""


def _find(word: Word) -> Command | None:
    command = _COMMANDS.get(encode(word).lower())
    if command is not None:
        _KNOWN[word] = command
    return command
